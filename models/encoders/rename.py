"""The same tower under three naming schemes: transformers (CLIP, SigLIP, DINOv2), open_clip's ViT, timm's ViT.

Every function takes and returns a state dict of one tower, without outer prefixes; one with a twin is its inverse;
queries, keys and values are three tensors in transformers and one in the others. Keys that a tower of ours does not
have (projections, pooling heads) are dropped on the way to transformers' names; other unknown keys are an error.
"""

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor

State = dict[str, Tensor]

# transformers -> open_clip, for what is outside and inside a block
_CLIP_OUTER = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}
_CLIP_INNER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
# transformers -> timm
_SIGLIP_OUTER = {
    "embeddings.patch_embedding.weight": "patch_embed.proj.weight",
    "embeddings.patch_embedding.bias": "patch_embed.proj.bias",
    "embeddings.position_embedding.weight": "pos_embed",
    "post_layernorm.weight": "norm.weight",
    "post_layernorm.bias": "norm.bias",
}
_SIGLIP_INNER = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "self_attn.out_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
# transformers -> timm
_DINOV2_OUTER = {
    "embeddings.cls_token": "cls_token",
    "embeddings.register_tokens": "reg_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_DINOV2_INNER = {
    "attention.o_proj": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "mlp.down_proj": "mlp.fc2",
}
_DINOV2_JOINED = {
    "attention.q_proj": ("attn.qkv", ("attention.q_proj", "attention.k_proj", "attention.v_proj")),
    "mlp.gate_proj": ("mlp.fc1", ("mlp.gate_proj", "mlp.up_proj")),
}
_HF_BLOCKS = "encoder.layers."
_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def hf_clip_to_open_clip(state: Mapping[str, Tensor]) -> State:
    """Return the state of an open_clip VisionTransformer from that of a CLIPVisionModel."""
    return _from_hf(state, _CLIP_OUTER, _CLIP_INNER, "transformer.resblocks.", "attn.in_proj_{}")


def open_clip_to_hf_clip(state: Mapping[str, Tensor]) -> State:
    """Return the state of a CLIPVisionModel from that of an open_clip VisionTransformer."""
    kept = {key: value for key, value in state.items() if key != "proj"}
    return _to_hf(kept, _CLIP_OUTER, _CLIP_INNER, "transformer.resblocks.", "attn.in_proj_{}")


def hf_siglip_to_timm(state: Mapping[str, Tensor]) -> State:
    """Return the state of a timm VisionTransformer from that of a SiglipVisionModel."""
    renamed = _from_hf(state, _SIGLIP_OUTER, _SIGLIP_INNER, "blocks.", "attn.qkv.{}")
    renamed["pos_embed"] = renamed["pos_embed"][None]
    return renamed


def timm_to_hf_siglip(state: Mapping[str, Tensor]) -> State:
    """Return the state of a SiglipVisionModel without head from that of a timm VisionTransformer."""
    kept = {key: value for key, value in state.items() if not key.startswith(("attn_pool.", "head."))}
    renamed = _to_hf(kept, _SIGLIP_OUTER, _SIGLIP_INNER, "blocks.", "attn.qkv.{}")
    renamed["embeddings.position_embedding.weight"] = renamed["embeddings.position_embedding.weight"][0]
    return renamed


def hf_dinov2_to_timm(state: Mapping[str, Tensor]) -> State:
    """Return the state of a timm DINOv2 from that of a Dinov2Model or Dinov2WithRegistersModel.

    timm adds no position to the class token of towers with registers: it is added to the token itself here. The mask
    token, which only training reads, is dropped.
    """
    renamed = {_DINOV2_OUTER[key]: value for key, value in state.items() if key in _DINOV2_OUTER}
    for key in state:
        if not key.startswith("encoder.layer."):
            continue
        number, part, kind = _block_key(key, "encoder.layer.")
        there, here = f"blocks.{number}.", f"encoder.layer.{number}."
        if part in _DINOV2_JOINED:
            name, parts = _DINOV2_JOINED[part]
            renamed[f"{there}{name}.{kind}"] = torch.cat([state[f"{here}{piece}.{kind}"] for piece in parts])
        elif f"{part}.{kind}" in _DINOV2_INNER:
            renamed[there + _DINOV2_INNER[f"{part}.{kind}"]] = state[key]
        elif part not in ("attention.k_proj", "attention.v_proj", "mlp.up_proj"):
            renamed[f"{there}{_DINOV2_INNER.get(part, part)}.{kind}"] = state[key]
    if "reg_token" in renamed:
        renamed["cls_token"] = renamed["cls_token"] + renamed["pos_embed"][:, :1]
        renamed["pos_embed"] = renamed["pos_embed"][:, 1:]
    return renamed


def naflex_to_siglip(state: Mapping[str, Tensor], patch_px: int) -> State:
    """Return the state of a SiglipVisionModel from that of a NaFlex Siglip2VisionModel: equal at the trained size."""
    key = "embeddings.patch_embedding.weight"
    conv = rearrange(state[key], "d (y x c) -> d c y x", y=patch_px, x=patch_px)
    return {**state, key: conv}


def _from_hf(
    state: Mapping[str, Tensor], outer: Mapping[str, str], inner: Mapping[str, str], blocks: str, qkv: str
) -> State:
    renamed: State = {}
    for key, value in state.items():
        if key in outer:
            renamed[outer[key]] = value
            continue
        number, part, kind = _block_key(key, _HF_BLOCKS)
        block = f"{_HF_BLOCKS}{number}."
        if part == _QKV[0]:
            parts = [state[f"{block}{name}.{kind}"] for name in _QKV]
            renamed[f"{blocks}{number}.{qkv.format(kind)}"] = torch.cat(parts)
        elif part not in _QKV:
            renamed[f"{blocks}{number}.{_known(inner, part, key)}.{kind}"] = value
    return renamed


def _to_hf(
    state: Mapping[str, Tensor], outer: Mapping[str, str], inner: Mapping[str, str], blocks: str, qkv: str
) -> State:
    outer_back = {theirs: ours for ours, theirs in outer.items()}
    inner_back = {theirs: ours for ours, theirs in inner.items()}
    renamed: State = {}
    for key, value in state.items():
        if key in outer_back:
            renamed[outer_back[key]] = value
            continue
        number, part, kind = _block_key(key, blocks)
        block = f"{_HF_BLOCKS}{number}."
        # the last word is weight or bias, after a dot or, in open_clip, an underscore
        joined = next((k for k in ("weight", "bias") if key == f"{blocks}{number}.{qkv.format(k)}"), None)
        if joined is not None:
            renamed |= {f"{block}{name}.{joined}": piece for name, piece in zip(_QKV, value.chunk(3), strict=True)}
        else:
            renamed[f"{block}{_known(inner_back, part, key)}.{kind}"] = value
    return renamed


def _block_key(key: str, blocks: str) -> tuple[str, str, str]:
    """Return block number, part and weight-or-bias of a key such as "encoder.layers.3.mlp.fc1.weight"."""
    number, _, rest = key.removeprefix(blocks).partition(".")
    part, _, kind = rest.rpartition(".")
    if not key.startswith(blocks) or not number.isdigit() or not kind:
        raise ValueError(f"vision tower: unknown parameter {key!r}")
    return number, part, kind


def _known(table: Mapping[str, str], part: str, key: str) -> str:
    if part not in table:
        raise ValueError(f"vision tower: unknown parameter {key!r}")
    return table[part]
