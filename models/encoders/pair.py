"""Two towers that look at the same tiles, their features side by side on the channels.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile, D width of both together.
"""

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from models.encoders.protocol import VisionEncoder
from models.encoders.spec import EncoderSpec
from models.encoders.states import side_by_side

FIRST, SECOND = "first", "second"


@final
class TwoTowers(nn.Module):
    """A first tower, which the tiles are normalised for, and a second one with its own mean and deviation."""

    def __init__(self, spec: EncoderSpec, first: VisionEncoder, second: VisionEncoder) -> None:
        super().__init__()
        self.spec = spec
        self.tower = nn.ModuleDict({FIRST: first, SECOND: second})

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of tiles normalised for the first tower: its channels, then the second's."""
        first, second = self.tower[FIRST], self.tower[SECOND]
        again_NCHW = renormalise(pixels_NCHW, first.spec, second.spec)
        return side_by_side([first(pixels_NCHW), second(again_NCHW)])

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict: each tower's own names behind "first." and "second."."""
        for name, part in split_state(state).items():
            self.tower[name].load_state(part)


def renormalise(pixels_NCHW: Tensor, now: EncoderSpec, then: EncoderSpec) -> Tensor:
    """Return tiles normalised with the colours of `then` from tiles normalised with those of `now`."""
    triples = zip(now.mean, now.std, then.mean, then.std, strict=True)
    scales_shifts = [(std / other_std, (mean - other) / other_std) for mean, std, other, other_std in triples]
    scale_C = pixels_NCHW.new_tensor([scale for scale, _ in scales_shifts])
    shift_C = pixels_NCHW.new_tensor([shift for _, shift in scales_shifts])
    return pixels_NCHW * scale_C[:, None, None] + shift_C[:, None, None]


def split_state(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the state dicts of both towers. Raises ValueError for a key that is neither's."""
    parts: dict[str, dict[str, Tensor]] = {FIRST: {}, SECOND: {}}
    for key, value in state.items():
        name, _, rest = key.partition(".")
        if name not in parts:
            raise ValueError(f"two towers: expected names that begin with first. or second., got {key!r}")
        # a module's own state dict names the tower inside the encoder
        parts[name][rest.removeprefix("tower.")] = value
    return parts
