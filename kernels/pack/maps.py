"""Packing as a sparse linear map: which source tokens make a packed token, and the reverse.

Legend: N tiles, P tokens per tile, T packed tokens, M = N * P source tokens, X taps (nonzero weights) of a map, R rows
of a map, E packed tokens that are end vectors, K end vectors, Z packed tokens that are the largest
of a block, B tokens of the largest such block, Y tokens in all of them, G pieces, W slabs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.pack.move import moved

# how the tokens of a piece are made on a CPU: rows copied, rows weighted and added, largest of blocks
MADE_BY = {"copy": 0, "weights": 1, "largest": 2}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taps:
    """A sparse matrix by rows: row r is the sum of weight * input[index] over ptr[r] <= x < ptr[r + 1].

    ptr_R1: int32 [R + 1]. index_X: int32 [X]. weight_X: [X], none of them zero; float32, or what
    `weighted_in` made of it.
    """

    ptr_R1: Tensor
    index_X: Tensor
    weight_X: Tensor

    def rows(self, start: int, stop: int) -> "Taps":
        """Return the matrix of the rows from start to stop - 1, on the host."""
        ptr_R1 = self.ptr_R1[start : stop + 1]
        low, high = int(ptr_R1[0]), int(ptr_R1[-1])
        return Taps(ptr_R1=ptr_R1 - low, index_X=self.index_X[low:high], weight_X=self.weight_X[low:high])

    def weighted_in(self, dtype: torch.dtype) -> "Taps":
        """Return the same matrix with weights of a dtype.

        Where a half type rounds a weight, two taps on the same row stand for it: the rounded weight, and what rounding
        lost. Together they hold 16 bits in bfloat16 and 22 bits in float16.
        """
        if dtype.itemsize >= self.weight_X.dtype.itemsize:
            return replace(self, weight_X=self.weight_X.to(dtype))
        rounded_X = self.weight_X.to(dtype)
        lost_X = (self.weight_X - rounded_X.float()).to(dtype)
        both_X2 = torch.stack([rounded_X, lost_X], dim=1)
        used_X2 = both_X2 != 0
        counts_X = used_X2.sum(1)
        before_X1 = F.pad(counts_X.cumsum(0), (1, 0))
        ptr_R1 = before_X1[self.ptr_R1.long()].int()
        return Taps(ptr_R1=ptr_R1, index_X=self.index_X.repeat_interleave(counts_X), weight_X=both_X2[used_X2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatherMap:
    """What makes each packed token, on the host.

    taps: T rows over the M source tokens, empty for end vectors and the largest of blocks. copied_T: int32 [T], the
    source of each token that is a copy; some source or 0 for others. pieces_G3: int64, (first token, token behind the
    last, how: of MADE_BY), all tokens in order; the end vectors among them are written afterwards. end_row_E,
    end_vec_E: int64, the packed tokens that are end vectors and which vector each is. peak_row_Z: int64, the packed
    tokens that are the largest of a block. peaks_ZB: int32, the source tokens of each block, row by row; -1 behind
    those of a smaller block. slabs_W6, end_slabs_W6: the copies and the end vectors by kernels.pack.slabs, none where
    they are many and small.
    """

    taps: Taps
    copied_T: Tensor
    pieces_G3: Tensor
    end_row_E: Tensor
    end_vec_E: Tensor
    peak_row_Z: Tensor
    peaks_ZB: Tensor
    slabs_W6: Tensor
    end_slabs_W6: Tensor

    def tensors(self) -> list[Tensor]:
        """Return the map's tensors, for an operator that takes lists of tensors; `of` reads them back."""
        rest = [self.end_row_E, self.end_vec_E, self.peak_row_Z, self.peaks_ZB, self.slabs_W6, self.end_slabs_W6]
        return [*_tensors(self.taps), self.copied_T, self.pieces_G3, *rest]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "GatherMap":
        """Return the map from what `tensors` gave."""
        taps, rest = Taps(ptr_R1=tensors[0], index_X=tensors[1], weight_X=tensors[2]), tensors[3:]
        copied_T, pieces_G3, end_row_E, end_vec_E, peak_row_Z, peaks_ZB, slabs_W6, end_slabs_W6 = rest
        return cls(
            taps=taps,
            copied_T=copied_T,
            pieces_G3=pieces_G3,
            end_row_E=end_row_E,
            end_vec_E=end_vec_E,
            peak_row_Z=peak_row_Z,
            peaks_ZB=peaks_ZB,
            slabs_W6=slabs_W6,
            end_slabs_W6=end_slabs_W6,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InverseMap:
    """What each input feeds: the transpose of packing.

    taps: M rows over the T packed tokens. end_ptr_K1, end_row_E: int32, the packed tokens that are end vector k are
    end_row[end_ptr[k]:end_ptr[k + 1]]. peaks: M rows over the T packed tokens that are the largest of a block; the
    "weight", int32, is the source token's place in that block. Without any there are no rows.
    """

    taps: Taps
    end_ptr_K1: Tensor
    end_row_E: Tensor
    peaks: Taps

    def tensors(self) -> list[Tensor]:
        """Return the map's tensors, for an operator that takes lists of tensors; `of` reads them back."""
        return [*_tensors(self.taps), self.end_ptr_K1, self.end_row_E, *_tensors(self.peaks)]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "InverseMap":
        """Return the map from what `tensors` gave."""
        taps = Taps(ptr_R1=tensors[0], index_X=tensors[1], weight_X=tensors[2])
        peaks = Taps(ptr_R1=tensors[5], index_X=tensors[6], weight_X=tensors[7])
        return cls(taps=taps, end_ptr_K1=tensors[3], end_row_E=tensors[4], peaks=peaks)

    def to(self, device: torch.device | str) -> "InverseMap":
        """Return the map on a device."""
        return InverseMap.of(moved(self.tensors(), device))


def inverse_map(gather: GatherMap, num_source: int, num_ends: int) -> InverseMap:
    """Return the transpose of a gather map; within a row, taps keep the order of the packed tokens."""
    ptr_T1 = gather.taps.ptr_R1.numpy()
    row_X = np.repeat(np.arange(len(ptr_T1) - 1, dtype=np.int32), np.diff(ptr_T1))
    vector_E = gather.end_vec_E.numpy()
    end_ptr_K1 = np.concatenate([[0], np.cumsum(np.bincount(vector_E, minlength=num_ends))])
    end_row_E = gather.end_row_E.numpy()[np.argsort(vector_E, kind="stable")]
    return InverseMap(
        taps=_by_source(gather.taps.index_X.numpy(), row_X, gather.taps.weight_X.numpy(), num_source),
        peaks=_peaks_by_source(gather, num_source),
        end_ptr_K1=torch.from_numpy(end_ptr_K1.astype(np.int32)),
        end_row_E=torch.from_numpy(end_row_E.astype(np.int32)),
    )


def taps_of(counts_R: np.ndarray, index_X: np.ndarray, weight_X: np.ndarray) -> Taps:
    """Return the matrix whose rows have these numbers of taps, weights in the dtype given."""
    ptr_R1 = np.zeros(len(counts_R) + 1, dtype=np.int32)
    np.cumsum(counts_R, out=ptr_R1[1:])
    return Taps(
        ptr_R1=torch.from_numpy(ptr_R1),
        index_X=torch.from_numpy(index_X.astype(np.int32)),
        weight_X=torch.from_numpy(np.ascontiguousarray(weight_X)),
    )


def _peaks_by_source(gather: GatherMap, num_source: int) -> Taps:
    """Return which largest of blocks each source token may be, with its place in the block; no rows where none are."""
    if not len(gather.peak_row_Z):
        nothing = np.empty(0, dtype=np.int32)
        return taps_of(nothing, nothing, nothing)
    peaks_ZB = gather.peaks_ZB.numpy()
    peak_Y, place_Y = np.nonzero(peaks_ZB >= 0)
    token_Y = gather.peak_row_Z.numpy()[peak_Y]
    return _by_source(peaks_ZB[peak_Y, place_Y], token_Y, place_Y.astype(np.int32), num_source)


def _by_source(source_X: np.ndarray, row_X: np.ndarray, weight_X: np.ndarray, num_source: int) -> Taps:
    """Return the taps sorted by the source token they read, in the order given within one."""
    order_X = np.argsort(source_X, kind="stable")
    counts_M = np.bincount(source_X, minlength=num_source)
    return taps_of(counts_M, row_X[order_X], weight_X[order_X])


def _tensors(taps: Taps) -> list[Tensor]:
    return [taps.ptr_R1, taps.index_X, taps.weight_X]
