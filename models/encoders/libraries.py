"""The same features through the libraries' own forward passes, for comparison: never used to compute features.

Every function takes an encoder of ours and normalised tiles, and gives [N, P, D] of the hidden states of its spec.

Legend: N tiles, P tokens of a tile, D width, L all tokens with the prefix.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from open_clip.timm_model import TimmModel
from timm import create_model
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from models.encoders.build import Encoder, build_encoder
from models.encoders.hf import patches
from models.encoders.openclip import mlp_ratio
from models.encoders.rename import hf_dinov2_to_timm, naflex_to_siglip, open_clip_to_hf_clip, timm_to_hf_siglip
from models.encoders.spec import EncoderSpec
from models.encoders.states import side_by_side

Features = Callable[[Encoder, Tensor], Tensor]


def comparisons(spec: EncoderSpec) -> dict[str, Features]:
    """Return the libraries that have this tower and tile, by name: its own first, then others with weights copied."""
    resized = spec.position_px != spec.tile_px
    # the input of the first block is no output of a block
    inputs = 0 in spec.states
    if spec.backend == "open_clip_eva":
        return {"open_clip": eva_of_open_clip}
    if spec.backend == "hf_dinov2":
        # timm resizes positions with antialiasing, transformers only with registers
        return {"transformers": by_transformers} | ({} if resized or inputs else {"timm": dinov2_of_timm})
    if spec.backend == "hf_siglip2":
        # the same tower as a fixed one only at the trained size
        return {"transformers": by_transformers} | ({} if resized else {"open_clip": siglip_of_naflex})
    own: dict[str, Features] = {"transformers": by_transformers, "open_clip": by_other_backend}
    if spec.backend == "open_clip":
        itself = {} if resized or inputs else {"open_clip": by_open_clip}
        own = {**itself, "transformers": by_other_backend}
    return own


def by_transformers(encoder: Encoder, pixels_NCHW: Tensor) -> Tensor:
    """Return what the whole tower gives as hidden_states."""
    spec = encoder.spec
    if spec.backend == "hf_siglip2":
        tok, count = spec.tile.tok, len(pixels_NCHW)
        out = encoder.tower(
            pixel_values=patches(pixels_NCHW, spec.patch_px),
            pixel_attention_mask=torch.ones(count, tok**2, dtype=torch.long),
            spatial_shapes=torch.tensor([[tok, tok]] * count),
            output_hidden_states=True,
        )
    elif spec.backend == "hf_dinov2":
        out = encoder.tower(pixels_NCHW, output_hidden_states=True)
    else:
        resized = spec.position_px != spec.tile_px
        out = encoder.tower(pixels_NCHW, output_hidden_states=True, interpolate_pos_encoding=resized)
    return _taken(out.hidden_states, spec)


def by_other_backend(encoder: Encoder, pixels_NCHW: Tensor) -> Tensor:
    """Return the features of the same CLIP or SigLIP weights in the other library, transformers or open_clip."""
    spec = encoder.spec
    own = "hf_clip" if spec.prefix_tokens else "hf_siglip"
    if spec.backend != "open_clip":
        other = build_encoder(replace(spec, backend="open_clip")).eval()
        other.load_state(encoder.tower.state_dict())
        return other(pixels_NCHW)
    rename = open_clip_to_hf_clip if spec.prefix_tokens else timm_to_hf_siglip
    other = build_encoder(replace(spec, backend=own)).eval()
    other.load_state(rename(encoder.tower.state_dict()))
    return by_transformers(other, pixels_NCHW)


def by_open_clip(encoder: Encoder, pixels_NCHW: Tensor) -> Tensor:
    """Return the intermediate outputs of open_clip's ViT, or of the timm ViT of its SigLIP."""
    spec = encoder.spec
    blocks = sorted({state - 1 for state in spec.states})
    found = encoder.tower.forward_intermediates(pixels_NCHW, indices=blocks, output_fmt="NLC", intermediates_only=True)
    features = found["image_intermediates"] if spec.prefix_tokens else found
    by_state = {block + 1: feature_NPD for block, feature_NPD in zip(blocks, features, strict=True)}
    return side_by_side([by_state[state] for state in spec.states])


def eva_of_open_clip(encoder: Encoder, pixels_NCHW: Tensor) -> Tensor:
    """Return the intermediate outputs of open_clip's model around timm's trunk, set to the size of the tile."""
    spec = encoder.spec
    # a small model of its registry, given a trunk of the spec's architecture and size
    model = TimmModel("eva02_tiny_patch14_224", embed_dim=8, image_size=spec.tile_px)
    model.trunk = create_model(
        spec.architecture,
        img_size=spec.position_px,
        patch_size=spec.patch_px,
        embed_dim=spec.dim,
        depth=spec.layers,
        num_heads=spec.heads,
        mlp_ratio=mlp_ratio(spec),
        num_classes=0,
    )
    model.trunk.load_state_dict(encoder.tower.state_dict())
    model.set_input_size(spec.tile_px)
    blocks = sorted({state - 1 for state in spec.states})
    found = model.eval().forward_intermediates(pixels_NCHW, indices=blocks, output_fmt="NLC", intermediates_only=True)
    by_state = dict(zip([block + 1 for block in blocks], found["image_intermediates"], strict=True))
    return side_by_side([by_state[state] for state in spec.states])


def dinov2_of_timm(encoder: Encoder, pixels_NCHW: Tensor) -> Tensor:
    """Return the intermediate outputs of timm's DINOv2 with the same weights."""
    spec = encoder.spec
    gated = spec.act == "swiglu"
    registers = spec.prefix_tokens - 1
    tower = VisionTransformer(
        img_size=spec.tile_px,
        patch_size=spec.patch_px,
        embed_dim=spec.dim,
        depth=spec.layers,
        num_heads=spec.heads,
        # timm counts both gated maps as one; half a unit more, since it truncates
        mlp_ratio=((2 if gated else 1) * spec.mlp + 0.5) / spec.dim,
        norm_layer=partial(nn.LayerNorm, eps=spec.norm_eps),
        init_values=1.0,
        num_classes=0,
        reg_tokens=registers,
        no_embed_class=registers > 0,
        **({"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU} if gated else {}),
    )
    tower.load_state_dict(hf_dinov2_to_timm(encoder.tower.state_dict()))
    blocks = sorted({state - 1 for state in spec.states})
    found = tower.eval().forward_intermediates(pixels_NCHW, indices=blocks, output_fmt="NLC", intermediates_only=True)
    by_state = dict(zip([block + 1 for block in blocks], found, strict=True))
    return side_by_side([by_state[state] for state in spec.states])


def siglip_of_naflex(encoder: Encoder, pixels_NCHW: Tensor) -> Tensor:
    """Return the features of a NaFlex tower's weights in open_clip's SigLIP, at the trained size."""
    other = build_encoder(replace(encoder.spec, backend="open_clip")).eval()
    other.load_state(naflex_to_siglip(encoder.tower.state_dict(), encoder.spec.patch_px))
    return other(pixels_NCHW)


def _taken(hidden_states: tuple[Tensor, ...], spec: EncoderSpec) -> Tensor:
    return side_by_side([hidden_states[layer][:, spec.prefix_tokens :] for layer in spec.declared_layers])
