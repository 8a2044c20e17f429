"""What every vision encoder offers.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile, D width.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from models.encoders.spec import EncoderSpec


class VisionEncoder(Protocol):
    """A frozen view of a vision tower: its spec, its module, and features of one hidden state.

    spec: the promise that plans were made with. tower: the backend's module, whose parameters carry its own names.
    """

    spec: EncoderSpec
    tower: nn.Module

    def __call__(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles, P = spec.tile.tok ** 2, row-major, prefix tokens dropped."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names; an EVA in timm's, two towers behind first. and second."""
        ...
