"""From segments to weights: which source tokens make each packed token.

The flat place of a source token is SRC + (a share that its row decides) + (a share that its column decides), so rows
and columns are worked out once per segment, and tokens only add.

Legend: S segments, C columns of the table, A rows (or columns) of all segments' outputs, T packed tokens, U those that
are resampled or copied, V means of blocks, Z largest of blocks, B tokens of the largest block, X taps, G pieces.
"""

from dataclasses import dataclass

import numpy as np
import torch

from kernels.pack.columns import END_CODES, REDUCE_CODES, Column
from kernels.pack.maps import MADE_BY, GatherMap, taps_of
from kernels.pack.slabs import end_slabs, slabs


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
    """Return which source tokens make each packed token, with the weights of resampling and of means."""
    column = dict(zip(Column, host_SC.T.copy(), strict=True))
    rank_T = np.arange(len(segment_of_T), dtype=np.int32) - column[Column.DST][segment_of_T]
    row_length_S = np.maximum(column[Column.OUT_W] + (column[Column.END] == END_CODES["row"]), 1)
    y_T, x_T = np.divmod(rank_T, row_length_S[segment_of_T])
    is_end_T, end_row_E, end_vec_E = _end_vectors(column, segment_of_T, rank_T, x_T)
    resized_S = (column[Column.H] != column[Column.OUT_H]) | (column[Column.W] != column[Column.OUT_W])
    token_U, token_V, token_Z = _by_reduction(column, resized_S, segment_of_T, is_end_T)

    rows = _axis(column, Column.Y, Column.H, Column.OUT_H, column[Column.COLS] * column[Column.TOK] ** 2)
    cols = _axis(column, Column.X, Column.W, Column.OUT_W, column[Column.TOK] ** 2)
    segment_U = segment_of_T[token_U]
    row_U, col_U = rows.start_S[segment_U] + y_T[token_U], cols.start_S[segment_U] + x_T[token_U]
    src_U = column[Column.SRC][segment_U]
    counts_T = np.zeros(len(segment_of_T), dtype=np.int64)
    copied_T = np.zeros(len(segment_of_T), dtype=np.int32)
    copied_T[token_U] = src_U + rows.low_A[row_U] + cols.low_A[col_U]
    if resized_S.any():
        index_U4, weight_U4 = _four_taps(rows, cols, row_U, col_U, src_U)
        used_U4 = weight_U4 != 0
        counts_T[token_U] = used_U4.sum(1)
        index_X, weight_X = index_U4[used_U4], weight_U4[used_U4]
    else:
        index_X = copied_T[token_U]
        weight_X = np.ones(len(index_X), dtype=np.float32)
        counts_T[token_U] = 1
    if len(token_V):
        index_VB, inside_VB = _blocks(column, segment_of_T[token_V], y_T[token_V], x_T[token_V])
        counts_V = inside_VB.sum(1)
        token_X = np.concatenate([np.repeat(token_U, counts_T[token_U]), np.repeat(token_V, counts_V)])
        share_X = np.repeat(np.float32(1) / counts_V.astype(np.float32), counts_V)
        order_X = np.argsort(token_X, kind="stable")
        index_X = np.concatenate([index_X, index_VB[inside_VB]])[order_X]
        weight_X = np.concatenate([weight_X, share_X])[order_X]
        counts_T[token_V] = counts_V
    index_ZB, inside_ZB = _blocks(column, segment_of_T[token_Z], y_T[token_Z], x_T[token_Z])
    return GatherMap(
        taps=taps_of(counts_T, index_X, weight_X),
        copied_T=torch.from_numpy(copied_T),
        pieces_G3=torch.from_numpy(_pieces(column, resized_S, len(segment_of_T))),
        end_row_E=torch.from_numpy(end_row_E),
        end_vec_E=torch.from_numpy(end_vec_E.astype(np.int64)),
        peak_row_Z=torch.from_numpy(token_Z),
        peaks_ZB=torch.from_numpy(np.where(inside_ZB, index_ZB, np.int32(-1))),
        slabs_W6=torch.from_numpy(slabs(host_SC, ~resized_S)),
        end_slabs_W6=torch.from_numpy(end_slabs(host_SC)),
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


def _pieces(column: dict[Column, np.ndarray], resized_S: np.ndarray, num_tokens: int) -> np.ndarray:
    """Return (first token, token behind the last, how) int64 [G, 3]: segments in a row that are made alike."""
    largest_S = resized_S & (column[Column.REDUCE] == REDUCE_CODES["max"])
    how_S = np.select([largest_S, resized_S], [MADE_BY["largest"], MADE_BY["weights"]], MADE_BY["copy"])
    first_G = np.flatnonzero(np.diff(how_S, prepend=-1))
    start_G = column[Column.DST][first_G].astype(np.int64)
    stop_G = np.append(start_G[1:], num_tokens)[: len(start_G)]
    return np.stack([start_G, stop_G, how_S[first_G]], axis=1)


def _by_reduction(
    column: dict[Column, np.ndarray], resized_S: np.ndarray, segment_of_T: np.ndarray, is_end_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (token_U, token_V, token_Z): the packed tokens resampled or copied, means of blocks, largest of blocks."""
    reduce_S = np.where(resized_S, column[Column.REDUCE], REDUCE_CODES["bilinear"])
    if not reduce_S.any():
        nothing = np.empty(0, dtype=np.int64)
        return np.flatnonzero(~is_end_T), nothing, nothing
    reduce_T = np.where(is_end_T, -1, reduce_S[segment_of_T])
    token_U, token_V, token_Z = (np.flatnonzero(reduce_T == code) for code in REDUCE_CODES.values())
    return token_U, token_V, token_Z


def _end_vectors(
    column: dict[Column, np.ndarray], segment_of_T: np.ndarray, rank_T: np.ndarray, x_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (is_end_T, end_row_E, end_vec_E): which packed tokens are end vectors, and which vector each is."""
    out_h_S, out_w_S, end_S = column[Column.OUT_H], column[Column.OUT_W], column[Column.END]
    closed_S, ended_S = end_S == END_CODES["row"], end_S == END_CODES["segment"]
    # the place of the vector that closes a row, or the segment; -1 where nothing does
    closing_x_S = np.where(closed_S, out_w_S, -1)
    closing_rank_S = np.where(ended_S, out_w_S * out_h_S, -1)
    is_end_T = (x_T == closing_x_S[segment_of_T]) | (rank_T == closing_rank_S[segment_of_T])
    close_S = column[Column.CLOSE]
    if not close_S.any():
        end_row_E = np.flatnonzero(is_end_T)
        return is_end_T, end_row_E, column[Column.VEC][segment_of_T[end_row_E]]
    last_rank_S = np.where(close_S > 0, out_h_S * (out_w_S + closed_S) + ended_S, -1)
    is_last_T = rank_T == last_rank_S[segment_of_T]
    end_row_E = np.flatnonzero(is_end_T | is_last_T)
    segment_E = segment_of_T[end_row_E]
    end_vec_E = np.where(is_last_T[end_row_E], close_S[segment_E] - 1, column[Column.VEC][segment_E])
    return is_end_T | is_last_T, end_row_E, end_vec_E


def _blocks(
    column: dict[Column, np.ndarray], segment_V: np.ndarray, y_V: np.ndarray, x_V: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (index_VB, inside_VB): the source tokens of each block, row by row, and how far a smaller one goes."""
    src_V, cols_V, tok_V = (column[name][segment_V, None] for name in (Column.SRC, Column.COLS, Column.TOK))
    high_V = column[Column.H][segment_V] // column[Column.OUT_H][segment_V]
    wide_V = column[Column.W][segment_V] // column[Column.OUT_W][segment_V]
    place_B = np.arange((high_V * wide_V).max(initial=0), dtype=np.int32)
    down_VB, across_VB = np.divmod(place_B[None], wide_V[:, None])
    tile_y_VB, y_VB = np.divmod((column[Column.Y][segment_V] + y_V * high_V)[:, None] + down_VB, tok_V)
    tile_x_VB, x_VB = np.divmod((column[Column.X][segment_V] + x_V * wide_V)[:, None] + across_VB, tok_V)
    index_VB = src_V + (tile_y_VB * cols_V + tile_x_VB) * tok_V**2 + y_VB * tok_V + x_VB
    return index_VB.astype(np.int32), place_B[None] < (high_V * wide_V)[:, None]


def _axis(
    column: dict[Column, np.ndarray],
    origin: Column,
    size: Column,
    out: Column,
    tile_stride_S: np.ndarray,
) -> Axis:
    """Return one axis; tile_stride_S: what the next tile along it adds to the flat place."""
    out_S = column[out]
    # the next row of a tile is TOK further, the next column 1
    token_stride_S = column[Column.TOK] if out == Column.OUT_H else np.ones_like(out_S)
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
