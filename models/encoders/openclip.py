"""open_clip's visual towers: its own ViT for CLIP, a timm ViT for SigLIP. Patch tokens of the selected block.

open_clip's own outputs are not what a language model reads: `output_tokens=True` gives the last block after its final
layer norm. The intermediate output of the selected block is transformers' hidden state of the same number.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile, D width.
"""

from collections.abc import Mapping
from functools import partial
from typing import final

from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from models.encoders.rename import hf_clip_to_open_clip, hf_siglip_to_timm
from models.encoders.spec import EncoderSpec

_ACTIVATIONS = {"quick_gelu": QuickGELU, "gelu_tanh": partial(nn.GELU, approximate="tanh"), "gelu": nn.GELU}


@final
class OpenClip(nn.Module):
    """An open_clip tower: with one prefix token its own ViT (CLIP), without any a timm ViT (SigLIP)."""

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        if spec.blocks_run < 1:
            raise ValueError(
                f"encoder: open_clip gives the outputs of blocks, but layer {spec.layer} is the input of the first"
            )
        if spec.prefix_tokens > 1:
            raise ValueError(f"encoder: an open_clip tower has 0 or 1 prefix tokens, got {spec.prefix_tokens}")
        self.spec = spec
        # both libraries have no switch for skipping initialisation; it costs seconds on the largest tower
        self.tower = _clip(spec) if spec.prefix_tokens else _siglip(spec)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        pixels_NCHW = pixels_NCHW.to(next(self.tower.parameters()).dtype)
        take = {
            "indices": [self.spec.blocks_run - 1],
            "stop_early": True,
            "output_fmt": "NLC",
            "intermediates_only": True,
        }
        if self.spec.prefix_tokens:
            (features_NPD,) = self.tower.forward_intermediates(pixels_NCHW, **take)["image_intermediates"]
        else:
            (features_NPD,) = self.tower.forward_intermediates(pixels_NCHW, **take)
        return features_NPD

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        rename = hf_clip_to_open_clip if self.spec.prefix_tokens else hf_siglip_to_timm
        self.tower.load_state_dict(rename(state))


def _clip(spec: EncoderSpec) -> VisionTransformer:
    tower = VisionTransformer(
        image_size=spec.tile_px,
        patch_size=spec.patch_px,
        width=spec.dim,
        layers=spec.layers,
        heads=spec.heads,
        mlp_ratio=_ratio(spec),
        output_dim=spec.dim,
        act_layer=_ACTIVATIONS[spec.act],
        norm_layer=partial(LayerNorm, eps=spec.norm_eps),
    )
    # the projection into CLIP's joint space is never used
    tower.proj = None
    return tower


def _siglip(spec: EncoderSpec) -> TimmVisionTransformer:
    return TimmVisionTransformer(
        img_size=spec.tile_px,
        patch_size=spec.patch_px,
        embed_dim=spec.dim,
        depth=spec.layers,
        num_heads=spec.heads,
        mlp_ratio=_ratio(spec),
        num_classes=0,
        global_pool="",
        class_token=False,
        act_layer=_ACTIVATIONS[spec.act],
        norm_layer=partial(nn.LayerNorm, eps=spec.norm_eps),
    )


def _ratio(spec: EncoderSpec) -> float:
    # both libraries truncate dim * ratio: half a unit more gives mlp exactly
    return (spec.mlp + 0.5) / spec.dim
