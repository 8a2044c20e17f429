"""open_clip's visual towers: its own ViT for CLIP, a timm ViT for SigLIP. Patch tokens of the selected hidden states.

open_clip's own outputs are not what a language model reads: `output_tokens=True` gives the last block after its final
layer norm. Here its modules are run to the hidden state that transformers counts under the same number.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile, D width.
"""

from collections.abc import Mapping
from functools import partial
from typing import final

import torch
from einops import rearrange
from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from models.encoders.positions import resize_positions
from models.encoders.rename import hf_clip_to_open_clip, hf_siglip_to_timm
from models.encoders.spec import EncoderSpec
from models.encoders.states import run_to_states

_ACTIVATIONS = {"quick_gelu": QuickGELU, "gelu_tanh": partial(nn.GELU, approximate="tanh"), "gelu": nn.GELU}


@final
class OpenClip(nn.Module):
    """An open_clip tower: with one prefix token its own ViT (CLIP), without any a timm ViT (SigLIP)."""

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        if spec.prefix_tokens > 1:
            raise ValueError(f"encoder: an open_clip tower has 0 or 1 prefix tokens, got {spec.prefix_tokens}")
        if spec.act not in _ACTIVATIONS:
            raise ValueError(f"encoder.act: open_clip has no {spec.act!r}, expected one of {', '.join(_ACTIVATIONS)}")
        self.spec = spec
        # both libraries have no switch for skipping initialisation; it costs seconds on the largest tower
        self.tower = _clip(spec) if spec.prefix_tokens else _siglip(spec)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        tower, tok = self.tower, self.spec.tile.tok
        if not self.spec.prefix_tokens:
            hidden_NPD = _patches(tower.patch_embed.proj, pixels_NCHW)
            hidden_NPD = hidden_NPD + resize_positions(tower.pos_embed[0], tok, prefix=0)
            return run_to_states(tower.blocks, hidden_NPD, self.spec)
        hidden_NPD = _patches(tower.conv1, pixels_NCHW)
        class_N1D = tower.class_embedding.expand(len(hidden_NPD), 1, -1)
        hidden_NPD = torch.cat([class_N1D, hidden_NPD], dim=1)
        hidden_NPD = tower.ln_pre(hidden_NPD + resize_positions(tower.positional_embedding, tok, prefix=1))
        return run_to_states(tower.transformer.resblocks, hidden_NPD, self.spec)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        rename = hf_clip_to_open_clip if self.spec.prefix_tokens else hf_siglip_to_timm
        self.tower.load_state_dict(rename(state))


def _patches(conv: nn.Conv2d, pixels_NCHW: Tensor) -> Tensor:
    return rearrange(conv(pixels_NCHW.to(conv.weight.dtype)), "n d h w -> n (h w) d")


def _clip(spec: EncoderSpec) -> VisionTransformer:
    tower = VisionTransformer(
        image_size=spec.position_px,
        patch_size=spec.patch_px,
        width=spec.dim,
        layers=spec.layers,
        heads=spec.heads,
        mlp_ratio=mlp_ratio(spec),
        output_dim=spec.dim,
        act_layer=_ACTIVATIONS[spec.act],
        norm_layer=partial(LayerNorm, eps=spec.norm_eps),
    )
    # the projection into CLIP's joint space is never used
    tower.proj = None
    return tower


def _siglip(spec: EncoderSpec) -> TimmVisionTransformer:
    return TimmVisionTransformer(
        img_size=spec.position_px,
        patch_size=spec.patch_px,
        embed_dim=spec.dim,
        depth=spec.layers,
        num_heads=spec.heads,
        mlp_ratio=mlp_ratio(spec),
        num_classes=0,
        global_pool="",
        class_token=False,
        act_layer=_ACTIVATIONS[spec.act],
        norm_layer=partial(nn.LayerNorm, eps=spec.norm_eps),
    )


def mlp_ratio(spec: EncoderSpec) -> float:
    """Return the ratio that makes both libraries, which truncate dim * ratio, build spec.mlp exactly."""
    return (spec.mlp + 0.5) / spec.dim
