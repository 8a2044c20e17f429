"""Which of several tensors holds their largest numbers; on a CPU.

The first that equals the largest is found by its bits: comparisons of integers into integers of the same size are up to
ten times as fast as those of numbers into booleans. Bits say what numbers do not, that the two zeros differ, so a piece
that holds a negative zero is gone through by a running comparison instead; and so is one that holds a NaN, which equals
nothing.
"""

import math

import torch
from torch import Tensor

# bytes of input of which the largest is taken at once: what stays in a core's cache
PIECE_BYTES = 2**20
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Scratch:
    """Room for the places of up to [rows, ...] numbers, in integers of their size."""

    def __init__(self, rows: int, shape: tuple[int, ...], like: Tensor) -> None:
        self.differs, self.won = (torch.empty(rows, *shape, dtype=BITS[like.itemsize]) for _ in range(2))


def places_of(
    best: Tensor, values: list[Tensor], whole: Tensor, scratch: Scratch, inside: list[Tensor] | None = None
) -> Tensor:
    """Return the place of each of the largest numbers best [B, ...] among values [B, ...], in the scratch.

    The first of equal numbers wins, and the last NaN, as in torch's max_pool2d. whole: what the values are parts of.
    inside: bool [B] for each value, False where it is only the first one once more, behind all that are not.
    """
    part, bits = slice(len(best)), scratch.won.dtype
    differs, won = scratch.differs[part], scratch.won[part]
    if len(values) == 1 or not best.numel():
        return won.zero_()
    # torch's maximum carries a NaN through, and a negative zero is the least integer
    if math.isnan(best.max().item()) or whole.view(bits).amin().item() == torch.iinfo(bits).min:
        return _by_running(values, won.zero_(), inside)
    best_bits = best.view(bits)
    # how many come before the first that equals the largest, counted from behind
    torch.ne(values[-2].view(bits), best_bits, out=won)
    for value in reversed(values[:-2]):
        torch.ne(value.view(bits), best_bits, out=differs)
        torch.addcmul(differs, won, differs, out=won)
    return won


def _by_running(values: list[Tensor], won: Tensor, inside: list[Tensor] | None) -> Tensor:
    """Write the places as a running comparison finds them."""
    best = values[0].clone()
    better, nan = torch.empty_like(best), torch.empty_like(best)
    for place, value in enumerate(values[1:], start=1):
        torch.gt(value, best, out=better)
        torch.ne(value, value, out=nan)
        # the bits of 1.0 end in 001 when moved to the right, and a later place is the larger number
        bits = better.view(won.dtype).bitwise_or_(nan.view(won.dtype))
        bits.bitwise_right_shift_(8 * best.itemsize - 3)
        bits.mul_(place if inside is None else place * inside[place].view(-1, *[1] * (bits.ndim - 1)))
        torch.maximum(won, bits, out=won)
        torch.maximum(best, value, out=best)
    return won
