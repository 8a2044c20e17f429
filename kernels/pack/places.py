"""Where packed tokens stand in the language model's inputs.

A visual index says for each row which packed token it holds, -1 for text: a token may stand in several rows (questions
on one clip) or in none.

Legend: B prompts, L sequence, R = B * L rows, T packed tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kernels.pack.maps import Taps


class Run(NamedTuple):
    """Rows start to stop - 1, which hold text, or the packed tokens that follow first; first is -1 for text."""

    start: int
    stop: int
    first: int


def runs(visual_R: Tensor) -> list[Run]:
    """Return the rows, of a visual index on the host, as runs of text and of packed tokens in a row."""
    if not len(visual_R):
        return []
    # numpy's calls on short arrays take a fraction of torch's
    host_R = visual_R.numpy()
    is_text_R = host_R < 0
    breaks = (host_R[1:] - host_R[:-1] != 1) | is_text_R[:-1]
    breaks &= ~(is_text_R[1:] & is_text_R[:-1])
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    stops, firsts = [*starts[1:].tolist(), len(host_R)], np.maximum(host_R[starts], -1).tolist()
    return [Run(*run) for run in zip(starts.tolist(), stops, firsts, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """The rows by packed token: token t stands in rows row_R[ptr[t]:ptr[t + 1]], in their order.

    row_R: int32 [R], rows of text behind the others, read by nobody. ptr_T1: int32 [T + 1].
    """

    row_R: Tensor
    ptr_T1: Tensor

    @classmethod
    def of(cls, visual_R: Tensor, num_tokens: int) -> "Places":
        """Invert a visual index where it is: on a GPU without a word from the host."""
        # text behind the last token
        token_R = torch.where(visual_R < 0, num_tokens, visual_R)
        sorted_R, row_R = torch.sort(token_R, stable=True)
        ptr_T1 = torch.searchsorted(sorted_R, torch.arange(num_tokens + 1, device=visual_R.device))
        return cls(row_R=row_R.int(), ptr_T1=ptr_T1.int())

    @classmethod
    def read(cls, tensors: Sequence[Tensor]) -> "Places | None":
        """Return what `tensors` gave, or None for an empty list."""
        return cls(row_R=tensors[0], ptr_T1=tensors[1]) if len(tensors) else None

    def tensors(self) -> list[Tensor]:
        """Return the two tensors, for an operator that takes a list of tensors."""
        return [self.row_R, self.ptr_T1]

    def through(self, taps: Taps) -> Taps:
        """Return a matrix over packed tokens as one over rows, on the host: each tap on a token taps all its rows."""
        first_X = self.ptr_T1[taps.index_X]
        counts_X = self.ptr_T1[taps.index_X + 1] - first_X
        stop_X = counts_X.cumsum(0)
        shift_X = first_X - (stop_X - counts_X)
        place = torch.repeat_interleave(shift_X, counts_X)
        before_X1 = torch.nn.functional.pad(stop_X, (1, 0))
        return Taps(
            ptr_R1=before_X1[taps.ptr_R1].int(),
            index_X=self.row_R[place + torch.arange(len(place))],
            weight_X=taps.weight_X.repeat_interleave(counts_X),
        )
