"""EVA and EVA02 CLIP towers of open_clip: trunks of timm, by their architecture's name.

The blocks' inner workings (rotary positions, gated MLPs, norms inside attention, norm after the residual) come with the
architecture; the sizes come from the spec and are what the trunk is built with.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile, D width.
"""

from collections.abc import Mapping
from functools import partial
from typing import final

from timm import create_model
from timm.layers import SwiGLU
from timm.models import is_model_in_modules
from timm.models.eva import Eva
from torch import Tensor, nn

from models.encoders.openclip import mlp_ratio
from models.encoders.spec import EncoderSpec
from models.encoders.states import side_by_side


@final
class OpenClipEva(nn.Module):
    """An EVA trunk. Patch tokens of the selected hidden states, without the class token.

    Where the tile is not the trained one, timm's own code resizes the absolute positions (bicubic, antialiased) and
    spreads the rotary ones over the same range.
    """

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        if min(spec.states) < 1:
            raise ValueError(
                f"encoder: an EVA trunk gives the outputs of blocks, but layer {spec.layer} is the input of the first"
            )
        self.spec = spec
        # timm has no switch for skipping initialisation
        self.tower = trunk(spec)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        blocks = sorted({state - 1 for state in self.spec.states})
        features = self.tower.forward_intermediates(
            pixels_NCHW.to(self.tower.pos_embed.dtype),
            indices=blocks,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        by_state = {block + 1: feature_NPD for block, feature_NPD in zip(blocks, features, strict=True)}
        return side_by_side([by_state[state] for state in self.spec.states])

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in timm's names, without the head."""
        self.tower.load_state_dict(state)


def trunk(spec: EncoderSpec) -> Eva:
    """Return the timm trunk of a spec, without a head.

    Raises ValueError naming both values where the architecture has another kind of MLP or another prefix.
    """
    if not is_model_in_modules(spec.architecture, ["eva"]):
        raise ValueError(f"encoder.architecture {spec.architecture!r}: expected the name of an EVA that timm registers")
    tower = create_model(
        spec.architecture,
        img_size=spec.position_px,
        patch_size=spec.patch_px,
        embed_dim=spec.dim,
        depth=spec.layers,
        num_heads=spec.heads,
        mlp_ratio=mlp_ratio(spec),
        norm_layer=partial(nn.LayerNorm, eps=spec.norm_eps),
        num_classes=0,
        global_pool="",
        dynamic_img_size=True,
    )
    act = "swiglu" if isinstance(tower.blocks[0].mlp, SwiGLU) else "gelu"
    if (act, tower.num_prefix_tokens) != (spec.act, spec.prefix_tokens):
        raise ValueError(
            f"encoder.architecture {spec.architecture!r} has act {act!r} and {tower.num_prefix_tokens} prefix tokens, "
            f"the spec says {spec.act!r} and {spec.prefix_tokens}"
        )
    return tower
