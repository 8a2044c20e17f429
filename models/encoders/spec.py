"""What a vision encoder is, as data: its geometry is here, so that plans need no weights."""

from dataclasses import dataclass
from typing import Literal

from anyres.grid import TileSpec

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """A vision tower and where its features are taken.

    weights: a local folder, a hub name (only fetched when asked to), or "" for random weights.
    layer: the hidden state that is read, as transformers counts: -2 is the output of the last block but one, -1 of the
        last block, before any final layer norm. prefix_tokens: leading tokens to drop (CLS).
    """

    backend: Literal["hf_clip", "hf_siglip", "open_clip"]
    weights: str
    tile_px: int
    patch_px: int
    dim: int
    layers: int
    heads: int
    mlp: int
    layer: int
    prefix_tokens: int
    mean: RGB
    std: RGB
    act: Literal["quick_gelu", "gelu_tanh", "gelu"]
    norm_eps: float

    @property
    def tile(self) -> TileSpec:
        """Return the tile: pixels a side and tokens a side."""
        return TileSpec.of(self.tile_px, self.patch_px)
