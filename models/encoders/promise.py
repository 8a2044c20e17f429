"""Hold an encoder's spec against what a config or a state dict says, once, naming both where they differ.

Plans are made from the spec alone, so a wrong YAML would give token counts that the tower does not keep. What was found
is a partial spec: a mapping from field names of EncoderSpec (and "tokens", patch tokens a tile) to values.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor
from transformers import CLIPVisionConfig, PreTrainedConfig, SiglipVisionConfig

from models.encoders.hf import ACTIVATIONS
from models.encoders.spec import RGB, EncoderSpec

# model_type -> backend and config; the full models carry a vision_config
_TYPES = {
    "clip_vision_model": ("hf_clip", CLIPVisionConfig),
    "siglip_vision_model": ("hf_siglip", SiglipVisionConfig),
}
_FULL = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}


def encoder_spec(
    config: PreTrainedConfig | Mapping[str, Any], *, layer: int, mean: RGB, std: RGB, weights: str = ""
) -> EncoderSpec:
    """Return the spec of a transformers vision config (CLIP or SigLIP; object or dict; a full model's config too).

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
            "(fixed-resolution SigLIP2 is of type siglip; the NaFlex variant is not supported)"
        )
    backend, cls = _TYPES[kind]
    full = cls.from_dict(raw)
    acts = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    if full.hidden_act not in acts:
        raise ValueError(f"vision config: hidden_act {full.hidden_act!r}, expected one of {', '.join(acts)}")
    return {
        "backend": backend,
        "tile_px": full.image_size,
        "patch_px": full.patch_size,
        "dim": full.hidden_size,
        "layers": full.num_hidden_layers,
        "heads": full.num_attention_heads,
        "mlp": full.intermediate_size,
        "prefix_tokens": 1 if backend == "hf_clip" else 0,
        "act": acts[full.hidden_act],
        "norm_eps": full.layer_norm_eps,
    }


def promised_open_clip(model_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of EncoderSpec that an open_clip model config fixes; for a timm trunk only size and prefix."""
    vision = dict(model_config["vision_cfg"])
    size = vision["image_size"]
    tile_px = size if isinstance(size, int) else size[0]
    if "timm_model_name" in vision:
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
    """Return what the shapes of a tower's state dict (transformers' names) fix."""
    patches, positions = state["embeddings.patch_embedding.weight"], state["embeddings.position_embedding.weight"]
    prefix = int("embeddings.class_embedding" in state)
    fc1 = [key for key in state if key.endswith(".mlp.fc1.weight")]
    return {
        "patch_px": patches.shape[-1],
        "dim": patches.shape[0],
        "layers": len(fc1),
        "mlp": state[fc1[0]].shape[0] if fc1 else 0,
        "prefix_tokens": prefix,
        "tokens": positions.shape[0] - prefix,
    }


def check_promise(spec: EncoderSpec, found: Mapping[str, Any], where: str) -> None:
    """Raise ValueError naming every field whose value in the spec is not the one found at `where`, with both values."""
    said = {**asdict(spec), "tokens": spec.tile.tok**2}
    wrong = [
        f"{name} {said[name]!r} in the spec but {value!r} there" for name, value in found.items() if said[name] != value
    ]
    if wrong:
        raise ValueError(f"{where} is not the encoder of the spec ({spec.weights or spec.backend}): {'; '.join(wrong)}")
