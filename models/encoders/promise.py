"""Hold an encoder's spec against what a config or a state dict says, once, naming both where they differ.

Plans are made from the spec alone, so a wrong YAML would give token counts that the tower does not keep. What was found
is a partial spec: a mapping from field names of EncoderSpec (and "tokens", patch tokens a tile) to values.
"""

from collections.abc import Mapping
from dataclasses import asdict
from math import isqrt
from typing import Any

from timm.models import is_model_in_modules
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    PreTrainedConfig,
    Siglip2VisionConfig,
    SiglipVisionConfig,
)

from models.encoders.hf import ACTIVATIONS, swiglu_width
from models.encoders.spec import RGB, EncoderSpec

# model_type -> backend and config; the full models carry a vision_config
_TYPES = {
    "clip_vision_model": ("hf_clip", CLIPVisionConfig),
    "siglip_vision_model": ("hf_siglip", SiglipVisionConfig),
    "siglip2_vision_model": ("hf_siglip2", Siglip2VisionConfig),
    "dinov2": ("hf_dinov2", Dinov2Config),
    "dinov2_with_registers": ("hf_dinov2", Dinov2WithRegistersConfig),
}
_FULL = {"clip": "clip_vision_model", "siglip": "siglip_vision_model", "siglip2": "siglip2_vision_model"}
# where a state dict has its patches, and with them its positions: transformers' names and, of an EVA, timm's
_EMBEDDINGS = {
    "embeddings.patch_embedding.weight": "embeddings.position_embedding.weight",
    "embeddings.patch_embeddings.projection.weight": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "pos_embed",
}
_CLASS_TOKENS = {"embeddings.class_embedding", "embeddings.cls_token", "cls_token"}
_REGISTERS = "embeddings.register_tokens"
# the first matrix of an MLP, plain or gated
_FC1 = (".mlp.fc1.weight", ".mlp.gate_proj.weight", ".mlp.fc1_g.weight")


def encoder_spec(
    config: PreTrainedConfig | Mapping[str, Any], *, layer: int, mean: RGB, std: RGB, weights: str = ""
) -> EncoderSpec:
    """Return the spec of a transformers vision config (object or dict; a full CLIP or SigLIP model's config too).

    The tower's type is the config's model_type. Raises ValueError for a type or activation without a backend here.
    """
    found = promised(config)
    return EncoderSpec(**found, layer=layer, mean=mean, std=std, weights=weights)


def promised(config: PreTrainedConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of EncoderSpec that a transformers vision config fixes."""
    raw = config.to_dict() if isinstance(config, PreTrainedConfig) else dict(config)
    kind = raw.get("model_type")
    if kind in _FULL:
        # the parts of older files do not repeat their own type
        raw = {"model_type": _FULL[kind]} | dict(raw.get("vision_config") or {})
        kind = raw["model_type"]
    if kind not in _TYPES:
        raise ValueError(
            f"vision config: model_type {kind!r} has no backend, expected one of {', '.join((*_TYPES, *_FULL))} "
            "(fixed-resolution SigLIP2 is of type siglip, NaFlex of type siglip2)"
        )
    backend, cls = _TYPES[kind]
    full = cls.from_dict(raw)
    gated = backend == "hf_dinov2" and full.use_swiglu_ffn
    acts = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    if not gated and full.hidden_act not in acts:
        raise ValueError(f"vision config: hidden_act {full.hidden_act!r}, expected one of {', '.join(acts)}")
    return {
        "backend": backend,
        "tile_px": isqrt(full.num_patches) * full.patch_size if backend == "hf_siglip2" else full.image_size,
        "patch_px": full.patch_size,
        "dim": full.hidden_size,
        "layers": full.num_hidden_layers,
        "heads": full.num_attention_heads,
        "mlp": _mlp(full, gated) if backend == "hf_dinov2" else full.intermediate_size,
        "prefix_tokens": _prefix(full, kind),
        "act": "swiglu" if gated else acts[full.hidden_act],
        "norm_eps": full.layer_norm_eps,
    }


def _mlp(config: Dinov2Config | Dinov2WithRegistersConfig, gated: bool) -> int:
    dim, ratio = config.hidden_size, config.mlp_ratio
    return swiglu_width(dim, ratio) if gated else int(dim * ratio)


def _prefix(config: PreTrainedConfig, kind: str) -> int:
    if isinstance(config, Dinov2WithRegistersConfig):
        return 1 + config.num_register_tokens
    return int(kind in ("clip_vision_model", "dinov2"))


def promised_open_clip(model_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of EncoderSpec that an open_clip model config fixes; for a timm trunk only size and kind."""
    vision = dict(model_config["vision_cfg"])
    size = vision["image_size"]
    tile_px = size if isinstance(size, int) else size[0]
    if "timm_model_name" in vision:
        name = vision["timm_model_name"]
        if is_model_in_modules(name, ["eva"]):
            return {"backend": "open_clip_eva", "architecture": name, "tile_px": tile_px, "prefix_tokens": 1}
        return {"tile_px": tile_px, "prefix_tokens": 0}
    width = vision["width"]
    return {
        "tile_px": tile_px,
        "patch_px": vision["patch_size"],
        "dim": width,
        "layers": vision["layers"],
        "heads": width // vision.get("head_width", 64),
        "mlp": int(width * vision.get("mlp_ratio", 4.0)),
        "prefix_tokens": 1,
        "act": "quick_gelu" if model_config.get("quick_gelu", False) else "gelu",
    }


def measured(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return what the shapes of a tower's state dict (transformers' names; timm's of an EVA) fix.

    Raises ValueError for a state dict without patches under a known name.
    """
    found = [key for key in _EMBEDDINGS if key in state and _EMBEDDINGS[key] in state]
    if not found:
        raise ValueError(f"vision tower: expected one of {', '.join(_EMBEDDINGS)} with its positions, found neither")
    patches, positions = state[found[0]], state[_EMBEDDINGS[found[0]]]
    first = int(any(key in state for key in _CLASS_TOKENS))
    registers = state[_REGISTERS].shape[1] if _REGISTERS in state else 0
    fc1 = [key for key in state if key.endswith(_FC1)]
    return {
        # patches of a NaFlex tower are rows of values
        "patch_px": isqrt(patches.shape[-1] // 3) if patches.ndim == 2 else patches.shape[-1],
        "dim": patches.shape[0],
        "layers": len(fc1),
        "mlp": state[fc1[0]].shape[0] if fc1 else 0,
        "prefix_tokens": first + registers,
        "tokens": positions.shape[-2] - first,
    }


def check_promise(spec: EncoderSpec, found: Mapping[str, Any], where: str) -> None:
    """Raise ValueError naming every field whose value in the spec is not the one found at `where`, with both values.

    The size and the tokens of a tile are those that the tower was trained with.
    """
    said = {**asdict(spec), "tokens": (spec.position_px // spec.patch_px) ** 2}
    there = dict(found)
    if spec.trained_px is not None and "tile_px" in there:
        there["trained_px"] = there.pop("tile_px")
    wrong = [
        f"{name} {said[name]!r} in the spec but {value!r} there" for name, value in there.items() if said[name] != value
    ]
    if wrong:
        raise ValueError(f"{where} is not the encoder of the spec ({spec.weights or spec.backend}): {'; '.join(wrong)}")
