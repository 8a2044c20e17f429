"""Copies as slabs: equally long runs of tokens that lie at equal distances in their source and in the packed tokens.

A tile that is not resampled is one slab, so a CPU moves whole rows of a tile at a time instead of single tokens; what
closes the rows of a segment is one too, whose source stays where it is. Slabs pay from a few tokens on; a table of many
small ones has none.

Legend: S segments, C columns of the table, W slabs.
"""

from bisect import bisect_left

import numpy as np
import torch
from torch import Tensor

from kernels.pack.columns import END_CODES, Column

# below so many tokens a slab on average costs as much as its tokens one by one
TOKENS_OF_A_SLAB = 64
# and so many end vectors, each of which is a run of its own
ENDS_OF_A_SLAB = 4


def slabs(host_SC: np.ndarray, copied_S: np.ndarray) -> np.ndarray:
    """Return int64 [W, 6] by packed token: (first packed token, first source token, runs, tokens of a run, what lies
    between the beginnings of two runs in the packed tokens, and in the source)."""
    found: list[tuple[int, ...]] = []
    most = int((host_SC[copied_S, Column.H].astype(np.int64) * host_SC[copied_S, Column.W]).sum()) // TOKENS_OF_A_SLAB
    for segment in host_SC[copied_S].tolist():
        found += _of_segment(segment)
        if len(found) > most:
            return np.empty((0, 6), dtype=np.int64)
    joined: list[tuple[int, ...]] = []
    for slab in sorted(found):
        dst, src, runs, length, *_ = slab
        before = joined[-1] if joined else (0,) * 6
        follows = before[0] + before[3] == dst and before[1] + before[3] == src
        if runs == before[2] == 1 and follows:
            joined[-1] = (before[0], before[1], 1, before[3] + length, 0, 0)
        else:
            joined.append(slab)
    return np.array(joined, dtype=np.int64).reshape(-1, 6)


def end_slabs(host_SC: np.ndarray) -> np.ndarray:
    """Return the end vectors as int64 [W, 6] like slabs, by packed token; their source is the number of the vector."""
    column = dict(zip(Column, host_SC.T.astype(np.int64), strict=True))
    out_h, out_w, dst, end = (column[name] for name in (Column.OUT_H, Column.OUT_W, Column.DST, Column.END))
    closed, ended, close = end == END_CODES["row"], end == END_CODES["segment"], column[Column.CLOSE]
    one, none = np.ones_like(dst), np.zeros_like(dst)
    kinds = (
        (closed & (out_h > 0), [dst + out_w, column[Column.VEC], out_h, one, out_w + 1, none]),
        (ended, [dst + out_h * out_w, column[Column.VEC], one, one, none, none]),
        (close > 0, [dst + out_h * (out_w + closed) + ended, close - 1, one, one, none, none]),
    )
    found = np.concatenate([np.stack(slab, 1)[wanted] for wanted, slab in kinds])
    if len(found) * ENDS_OF_A_SLAB > found[:, 2].sum():
        return np.empty((0, 6), dtype=np.int64)
    return found[np.argsort(found[:, 0], kind="stable")]


def _of_segment(segment: list[int]) -> list[tuple[int, ...]]:
    """Return a slab for each tile that the crop touches; tiles of one token are rows of a picture."""
    first, cols, tok, y, x, h, w, _, _, end, _, dst, _, _ = segment
    row = w + (end == END_CODES["row"])
    if not h or not w:
        return []
    if tok == 1:
        return [_slab(dst, first + y * cols + x, h, w, row, cols)]
    found = []
    for tile_y in range(y // tok, (y + h - 1) // tok + 1):
        top, bottom = max(y, tile_y * tok), min(y + h, (tile_y + 1) * tok)
        for tile_x in range(x // tok, (x + w - 1) // tok + 1):
            left, right = max(x, tile_x * tok), min(x + w, (tile_x + 1) * tok)
            inside = (top - tile_y * tok) * tok + left - tile_x * tok
            src = first + (tile_y * cols + tile_x) * tok**2 + inside
            found.append(_slab(dst + (top - y) * row + left - x, src, bottom - top, right - left, row, tok))
    return found


def _slab(dst: int, src: int, runs: int, length: int, dst_step: int, src_step: int) -> tuple[int, ...]:
    if length == dst_step == src_step:
        return dst, src, 1, runs * length, 0, 0
    return dst, src, runs, length, dst_step, src_step


class Slabs:
    """Slabs at hand for one packing, by their first packed token."""

    def __init__(self, slabs_W6: Tensor) -> None:
        host_W6 = slabs_W6.numpy()
        first_W, runs_W, length_W, step_W = (host_W6[:, column] for column in (0, 2, 3, 4))
        self._slabs = host_W6.tolist()
        self._first = first_W.tolist()
        # behind the last packed token of a slab and all those before it
        self._reach = np.maximum.accumulate(first_W + (runs_W - 1) * step_W + length_W).tolist()

    def within(self, start: int, stop: int) -> list[list[int]] | None:
        """Return those of the packed tokens from start to stop - 1; None where there is none at all, or one is cut."""
        low, high = bisect_left(self._first, start), bisect_left(self._first, stop)
        cut = (low > 0 and self._reach[low - 1] > start) or (high > 0 and self._reach[high - 1] > stop)
        return None if cut or not self._slabs else self._slabs[low:high]


def copy_slab(out_RD: Tensor, shift: int, source_MD: Tensor, slab: list[int]) -> None:
    """Copy one slab of contiguous rows into the rows `shift` behind its packed tokens."""
    dst, src, runs, length, dst_step, src_step = slab
    width = source_MD.shape[1]
    size = (runs, length * width)
    source = torch.as_strided(source_MD, size, (src_step * width, 1), source_MD.storage_offset() + src * width)
    offset = out_RD.storage_offset() + (dst + shift) * width
    torch.as_strided(out_RD, size, (dst_step * width, 1), offset).copy_(source)
