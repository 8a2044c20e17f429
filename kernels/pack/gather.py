"""From segments to weights: which source tokens make each packed token.

The flat place of a source token is SRC + (a share that its row decides) + (a share that its column decides), so rows
and columns are worked out once per segment, and tokens only add.

Legend: S segments, C columns of the table, A rows (or columns) of all segments' outputs, T packed tokens, U those that
are not end vectors, X taps.
"""

from dataclasses import dataclass

import numpy as np
import torch

from kernels.pack.columns import END_CODES, Column
from kernels.pack.maps import GatherMap, taps_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Rows (or columns) of every segment's output, one segment after the other.

    start_S: where each segment's begin. low_A, high_A: what the two source rows add to the flat place. part_A: the
    weight of the higher one, 0 for a copy.
    """

    start_S: np.ndarray
    low_A: np.ndarray
    high_A: np.ndarray
    part_A: np.ndarray


def gather_map(host_SC: np.ndarray, segment_of_T: np.ndarray) -> GatherMap:
    """Return which source tokens make each packed token, with the weights of bilinear resampling."""
    column = dict(zip(Column, host_SC.T.copy(), strict=True))
    tok_S, out_w_S, end_S = column[Column.TOK], column[Column.OUT_W], column[Column.END]
    rows = _axis(column, Column.Y, Column.H, Column.OUT_H, column[Column.COLS] * tok_S**2, tok_S)
    cols = _axis(column, Column.X, Column.W, Column.OUT_W, tok_S**2, np.ones_like(tok_S))

    rank_T = np.arange(len(segment_of_T), dtype=np.int32) - column[Column.DST][segment_of_T]
    row_length_S = np.maximum(out_w_S + (end_S == END_CODES["row"]), 1)
    y_T, x_T = np.divmod(rank_T, row_length_S[segment_of_T])
    # the place of the vector that closes a row, or the segment; -1 where nothing does
    closing_x_S = np.where(end_S == END_CODES["row"], out_w_S, -1)
    closing_rank_S = np.where(end_S == END_CODES["segment"], out_w_S * column[Column.OUT_H], -1)
    is_end_T = (x_T == closing_x_S[segment_of_T]) | (rank_T == closing_rank_S[segment_of_T])

    token_U = np.flatnonzero(~is_end_T)
    segment_U = segment_of_T[token_U]
    row_U, col_U = rows.start_S[segment_U] + y_T[token_U], cols.start_S[segment_U] + x_T[token_U]
    src_U = column[Column.SRC][segment_U]
    counts_T = (~is_end_T).astype(np.int64)
    copied_T = np.empty(0, dtype=np.int32)
    resized_S = (column[Column.H] != column[Column.OUT_H]) | (column[Column.W] != out_w_S)
    if resized_S.any():
        index_U4, weight_U4 = _four_taps(rows, cols, row_U, col_U, src_U)
        used_U4 = weight_U4 != 0
        counts_T[token_U] = used_U4.sum(1)
        taps = taps_of(counts_T, index_U4[used_U4], weight_U4[used_U4])
    else:
        index_U = src_U + rows.low_A[row_U] + cols.low_A[col_U]
        taps = taps_of(counts_T, index_U, np.ones(len(index_U), dtype=np.float32))
        copied_T = np.zeros(len(segment_of_T), dtype=np.int32)
        copied_T[token_U] = index_U
    end_row_E = np.flatnonzero(is_end_T)
    return GatherMap(
        taps=taps,
        copied_T=torch.from_numpy(copied_T),
        end_row_E=torch.from_numpy(end_row_E),
        end_vec_E=torch.from_numpy(column[Column.VEC][segment_of_T[end_row_E]].astype(np.int64)),
    )


def axis_taps(place: np.ndarray, size: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (low, high, part): along one axis, out[place] = (1 - part) * crop[low] + part * crop[high].

    The arithmetic is that of torch's bilinear resampling with align_corners=False, in float32.
    """
    scale = size.astype(np.float32) / out.astype(np.float32)
    # torch's multiply and subtract is compiled to one fused operation; float64 holds the product exactly
    source = (scale.astype(np.float64) * (place + 0.5) - 0.5).astype(np.float32)
    source = np.maximum(source, np.float32(0))
    low = np.minimum(source.astype(np.int32), size - 1)
    part = np.clip(source - low.astype(np.float32), np.float32(0), np.float32(1))
    return low, np.minimum(low + 1, size - 1), part


def _axis(
    column: dict[Column, np.ndarray],
    origin: Column,
    size: Column,
    out: Column,
    tile_stride_S: np.ndarray,
    token_stride_S: np.ndarray,
) -> Axis:
    """Return one axis; strides: what the next tile, and the next token within a tile, add to the flat place."""
    out_S = column[out]
    start_S = (np.cumsum(out_S) - out_S).astype(np.int32)
    segment_A = np.repeat(np.arange(len(out_S)), out_S)
    place_A = np.arange(len(segment_A), dtype=np.int32) - start_S[segment_A]
    low_A, high_A, part_A = axis_taps(place_A, column[size][segment_A], out_S[segment_A])

    def share(at_A: np.ndarray) -> np.ndarray:
        tile_A, inside_A = np.divmod(column[origin][segment_A] + at_A, column[Column.TOK][segment_A])
        return tile_A * tile_stride_S[segment_A] + inside_A * token_stride_S[segment_A]

    return Axis(start_S=start_S, low_A=share(low_A), high_A=share(high_A), part_A=part_A)


def _four_taps(
    rows: Axis, cols: Axis, row_U: np.ndarray, col_U: np.ndarray, src_U: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (index_U4, weight_U4); a copy has one tap of weight 1 and three of weight 0."""
    one = np.float32(1)
    index_U4 = np.empty((len(row_U), 4), dtype=np.int32)
    weight_U4 = np.empty((len(row_U), 4), dtype=np.float32)
    for corner in range(4):
        y_A, weight_y_A = (rows.high_A, rows.part_A) if corner >= 2 else (rows.low_A, one - rows.part_A)
        x_A, weight_x_A = (cols.high_A, cols.part_A) if corner % 2 else (cols.low_A, one - cols.part_A)
        index_U4[:, corner] = src_U + y_A[row_U] + x_A[col_U]
        weight_U4[:, corner] = weight_y_A[row_U] * weight_x_A[col_U]
    return index_U4, weight_U4
