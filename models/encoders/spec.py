"""What a vision encoder is, as data: its geometry is here, so that plans need no weights."""

from dataclasses import dataclass
from typing import Literal

from anyres.grid import TileSpec

RGB = tuple[float, float, float]
Activation = Literal["quick_gelu", "gelu_tanh", "gelu"]


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
    act: Activation
    norm_eps: float

    def __post_init__(self) -> None:
        if not 1 <= self.patch_px <= self.tile_px:
            raise ValueError(f"encoder: patch_px {self.patch_px} must be between 1 and tile_px {self.tile_px}")
        if min(self.dim, self.layers, self.heads, self.mlp) < 1 or self.dim % self.heads:
            raise ValueError(
                f"encoder: dim {self.dim}, layers {self.layers}, heads {self.heads} and mlp {self.mlp} must be "
                "at least 1, and dim a multiple of heads"
            )
        if not -self.layers - 1 <= self.layer <= self.layers:
            raise ValueError(f"encoder: layer {self.layer} is not among the {self.layers + 1} hidden states")
        if self.prefix_tokens < 0 or min(self.std) <= 0:
            raise ValueError(f"encoder: prefix_tokens {self.prefix_tokens} below 0, or std {self.std} not above 0")

    @property
    def tile(self) -> TileSpec:
        """Return the tile: pixels a side and tokens a side."""
        return TileSpec.of(self.tile_px, self.patch_px)

    @property
    def width(self) -> int:
        """Return the width of the features, which a projector reads."""
        return self.dim

    @property
    def blocks_run(self) -> int:
        """Return how many blocks are computed: those up to the hidden state that is read."""
        return self.layer if self.layer >= 0 else self.layers + 1 + self.layer
