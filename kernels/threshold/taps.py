"""Thresholding as a sparse matrix by rows of tokens, for the CPU path.

Legend: M maps, R C rows and columns of tiles in a map, Y X rows and columns of tokens in a tile, D width, P Q rows and
columns of the result, T = M P Q results, S source tokens, X taps.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.pack.gather import axis_taps
from kernels.pack.maps import Taps, taps_of


@lru_cache(maxsize=32)
def threshold_taps(
    shape_MRCYX: tuple[int, ...],
    crop_tok: tuple[int, int, int, int],
    out_tok: tuple[int, int],
    dtype: torch.dtype,
    backward: bool,
) -> Taps:
    """Return what makes each result, or (backward) what each source token feeds; weights in a dtype. Made once each."""
    maps, rows, cols, tile_h, tile_w = shape_MRCYX
    y, x, h, w = crop_tok
    low_P, high_P, part_P = _axis(h, out_tok[0])
    low_Q, high_Q, part_Q = _axis(w, out_tok[1])
    y_P2, x_Q2 = y + np.stack([low_P, high_P], 1), x + np.stack([low_Q, high_Q], 1)
    # a source place is a share of its row and a share of its column
    row_P2 = (y_P2 // tile_h * cols * tile_h + y_P2 % tile_h) * tile_w
    col_Q2 = x_Q2 // tile_w * tile_h * tile_w + x_Q2 % tile_w
    weight_P2, weight_Q2 = np.stack([1 - part_P, part_P], 1), np.stack([1 - part_Q, part_Q], 1)
    index_PQ22 = row_P2[:, None, :, None] + col_Q2[None, :, None, :]
    weight_PQ22 = weight_P2[:, None, :, None] * weight_Q2[None, :, None, :]
    tokens = rows * cols * tile_h * tile_w
    index_T4 = (np.arange(maps)[:, None, None] * tokens + index_PQ22.reshape(1, -1, 4)).reshape(-1, 4)
    weight_T4 = np.broadcast_to(weight_PQ22.reshape(1, -1, 4), (maps, index_PQ22.size // 4, 4)).reshape(-1, 4)
    used_T4 = weight_T4 != 0
    taps = taps_of(used_T4.sum(1), index_T4[used_T4], weight_T4[used_T4])
    return (transposed(taps, maps * tokens) if backward else taps).weighted_in(dtype)


def transposed(taps: Taps, num_source: int) -> Taps:
    """Return which results each source token feeds, in their order, with the same weights."""
    ptr_T1, source_X = taps.ptr_R1.numpy(), taps.index_X.numpy()
    row_X = np.repeat(np.arange(len(ptr_T1) - 1, dtype=np.int32), np.diff(ptr_T1))
    order_X = np.argsort(source_X, kind="stable")
    return taps_of(np.bincount(source_X, minlength=num_source), row_X[order_X], taps.weight_X.numpy()[order_X])


def weighted_rows(input_SD: Tensor, taps: Taps) -> Tensor:
    """Return rows [T, D], each the weighted sum of its input rows, summed in float32 (float64 input in float64)."""
    if not len(taps.index_X):
        return input_SD.new_zeros(len(taps.ptr_R1) - 1, input_SD.shape[1])
    return F.embedding_bag(
        taps.index_X,
        input_SD,
        taps.ptr_R1,
        mode="sum",
        per_sample_weights=taps.weight_X,
        include_last_offset=True,
    )


def _axis(size: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes, outs = np.full(out, size, dtype=np.int32), np.full(out, out, dtype=np.int32)
    return axis_taps(np.arange(out, dtype=np.int32), sizes, outs)
