"""Packing on a CPU: a gather for copies, a weighted gather for resampled tokens, both straight into the output.

Legend: M source tokens, D width, K end vectors, T packed tokens, X taps, R rows of a map.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.pack.maps import GatherMap, InverseMap, Taps

# resampled tokens are made in pieces of this size, which stay in a core's cache until they are copied in place
PIECE_BYTES = 2**20


def pack_forward(features_MD: Tensor, ends_KD: Tensor, gather: GatherMap) -> Tensor:
    """Return the packed tokens [T, D] in the features' dtype; copies are exact, sums are made in float32."""
    num_tokens, width = len(gather.first_T), features_MD.shape[1]
    out_TD = features_MD.new_empty(num_tokens, width)
    for start, stop, plain in gather.runs_G3.tolist():
        if plain:
            torch.index_select(features_MD, 0, gather.first_T[start:stop], out=out_TD[start:stop])
        else:
            _resample(features_MD, gather.taps, start, stop, out_TD)
    if len(gather.end_row_E):
        ends_ED = ends_KD.to(out_TD.dtype).index_select(0, gather.end_vec_E)
        out_TD.index_copy_(0, gather.end_row_E, ends_ED)
    return out_TD


def pack_grad_features(grad_TD: Tensor, inverse: InverseMap) -> Tensor:
    """Return the gradient [M, D] of the features: each source token sums over the packed tokens that it feeds."""
    taps = inverse.taps
    index_X, weight_X, per_tap = _weights_as(taps.index_X, taps.weight_X, grad_TD.dtype)
    return _weighted_rows(grad_TD, taps.ptr_R1 * per_tap, index_X, weight_X)


def pack_grad_ends(grad_TD: Tensor, inverse: InverseMap, num_ends: int) -> Tensor:
    """Return the gradient [K, D] of the end vectors, summed in float32 (float64 for float64 gradients)."""
    exact = torch.float64 if grad_TD.dtype == torch.float64 else torch.float32
    grad_KD = grad_TD.new_zeros(num_ends, grad_TD.shape[1], dtype=exact)
    stops = inverse.end_ptr_K1.tolist()
    for vector, (start, stop) in enumerate(pairwise(stops)):
        grad_KD[vector] = grad_TD.index_select(0, inverse.end_row_E[start:stop]).sum(0, dtype=exact)
    return grad_KD


def _resample(features_MD: Tensor, taps: Taps, start: int, stop: int, out_TD: Tensor) -> None:
    """Write packed tokens start to stop."""
    width = features_MD.shape[1]
    first, last = taps.ptr_R1[[start, stop]].tolist()
    index_X, weight_X, per_tap = _weights_as(taps.index_X[first:last], taps.weight_X[first:last], features_MD.dtype)
    ptr_R1 = (taps.ptr_R1[start : stop + 1] - first) * per_tap
    step = max(PIECE_BYTES // max(width * features_MD.element_size(), 1), 1)
    for row in range(0, stop - start, step):
        piece_R1 = ptr_R1[row : row + step + 1]
        low, high = piece_R1[[0, -1]].tolist()
        piece_RD = _weighted_rows(features_MD, piece_R1 - low, index_X[low:high], weight_X[low:high])
        out_TD[start + row : start + row + len(piece_RD)] = piece_RD


def _weights_as(index_X: Tensor, weight_X: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, int]:
    """Return taps whose weights have a dtype, and how many stand for each: two where one would lose precision.

    A weight becomes its rounding to the dtype and what the rounding lost, on the same input row.
    """
    rounded_X = weight_X.to(dtype)
    if dtype.itemsize >= weight_X.dtype.itemsize:
        return index_X, rounded_X, 1
    lost_X = weight_X - rounded_X.to(weight_X.dtype)
    if not lost_X.any():
        return index_X, rounded_X, 1
    both_X = torch.stack([rounded_X, lost_X.to(dtype)], dim=1).flatten()
    return index_X.repeat_interleave(2), both_X, 2


def _weighted_rows(input_MD: Tensor, ptr_R1: Tensor, index_X: Tensor, weight_X: Tensor) -> Tensor:
    """Return rows [R, D], each the weighted sum of its input rows; accumulates in at least float32."""
    return F.embedding_bag(index_X, input_MD, ptr_R1, mode="sum", per_sample_weights=weight_X, include_last_offset=True)
