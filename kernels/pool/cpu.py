"""Pooling by blocks on a CPU: means as weighted rows, the largest by running comparison in cache.

Legend: F frames, H W rows and columns of tokens in a frame, D width, P Q rows and columns of the result, B pieces of
rows, S stride, M source tokens.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from kernels.pack.maps import Taps, taps_of
from kernels.pool.peaks import BITS, PIECE_BYTES, Scratch, places_of
from kernels.threshold.taps import transposed, weighted_rows

# bytes of a piece of which the winners are found too: it takes a dozen calls, and some megabytes outweigh them
WON_BYTES = 5 * 2**19


def mean(frames_FHWD: Tensor, stride: int) -> Tensor:
    """Return the means [F, P, Q, D] of blocks, summed in float32."""
    frames, height, width, channels = frames_FHWD.shape
    taps = _mean_taps(frames, height, width, stride, frames_FHWD.dtype, False)
    return weighted_rows(frames_FHWD.flatten(0, 2), taps).view(frames, height // stride, width // stride, channels)


def mean_grad(grad_FPQD: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Return the gradient [F, H, W, D] of frames of which the means were taken."""
    frames, channels = grad_FPQD.shape[0], grad_FPQD.shape[3]
    taps = _mean_taps(frames, height, width, stride, grad_FPQD.dtype, True)
    return weighted_rows(grad_FPQD.flatten(0, 2), taps).view(frames, height, width, channels)


def largest(frames_FHWD: Tensor, stride: int) -> Tensor:
    """Return the largest numbers [F, P, Q, D] of blocks; a NaN is the largest of its block."""
    out_FPQD = frames_FHWD.new_empty(_pooled_shape(frames_FHWD, stride))
    for _ in _pieces(frames_FHWD, stride, out_FPQD, PIECE_BYTES // 1):
        pass
    return out_FPQD


def largest_and_winners(frames_FHWD: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return the largest numbers [F, P, Q, D] of blocks, and the place of each in its block, uint8.

    The first of equal numbers wins, and the last NaN, as in torch's max_pool2d.
    """
    shape = _pooled_shape(frames_FHWD, stride)
    best_FPQD, place_FPQD = frames_FHWD.new_empty(shape), frames_FHWD.new_empty(shape, dtype=torch.uint8)
    scratch = None
    for frame, top, piece_BSWD in _pieces(frames_FHWD, stride, best_FPQD, WON_BYTES):
        scratch = scratch or Scratch(len(piece_BSWD), shape[2:], frames_FHWD)
        rows = slice(top, top + len(piece_BSWD))
        taps = [tap for row in piece_BSWD.unflatten(2, (shape[2], stride)).unbind(1) for tap in row.unbind(2)]
        place_FPQD[frame, rows].copy_(places_of(best_FPQD[frame, rows], taps, piece_BSWD, scratch))
    return best_FPQD, place_FPQD


def largest_grad(grad_FPQD: Tensor, winners_FPQD: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Return the gradient [F, H, W, D] of frames: all of a block's goes to its winner."""
    frames, out_h, out_w, channels = grad_FPQD.shape
    out_FHWD = grad_FPQD.new_empty(frames, height, width, channels)
    # what no block covers
    out_FHWD[:, out_h * stride :] = 0
    out_FHWD[:, :, out_w * stride :] = 0
    # bits times 1 or 0: faster than choosing between numbers
    bits, step = BITS[grad_FPQD.itemsize], _rows_at_once(grad_FPQD.shape, grad_FPQD.itemsize)
    winners_BQD, won_BQD = (grad_FPQD.new_empty(step, out_w, channels, dtype=bits) for _ in range(2))
    for grad_PQD, winners_PQD, out_HWD in zip(grad_FPQD.view(bits), winners_FPQD, out_FHWD.view(bits), strict=True):
        taps_PQD = _taps(out_HWD, stride)
        for top in range(0, out_h, step):
            part = slice(min(step, out_h - top))
            winners = winners_BQD[part].copy_(winners_PQD[top : top + step])
            for place, out_PQD in enumerate(taps_PQD):
                torch.eq(winners, place, out=won_BQD[part])
                torch.mul(grad_PQD[top : top + step], won_BQD[part], out=out_PQD[top : top + step])
    return out_FHWD


def _pooled_shape(frames_FHWD: Tensor, stride: int) -> tuple[int, ...]:
    frames, height, width, channels = frames_FHWD.shape
    return frames, height // stride, width // stride, channels


def _pieces(frames_FHWD: Tensor, stride: int, out_FPQD: Tensor, piece_bytes: int) -> Iterator[tuple[int, int, Tensor]]:
    """Write the largest of blocks by pieces; give (frame, first row of the result, blocks [B, S, W, D]) of each."""
    _, out_h, out_w, channels = out_FPQD.shape
    row_bytes = max(stride * frames_FHWD.shape[2] * channels * frames_FHWD.itemsize, 1)
    step = max(piece_bytes // row_bytes, 1)
    tall_BWD = frames_FHWD.new_empty(min(step, out_h), out_w * stride, channels)
    for frame, (frame_HWD, out_PQD) in enumerate(zip(frames_FHWD, out_FPQD, strict=True)):
        blocks_PSWD = frame_HWD[: out_h * stride, : out_w * stride].unflatten(0, (out_h, stride))
        for top in range(0, out_h, step):
            piece_BSWD, out_BQD = blocks_PSWD[top : top + step], out_PQD[top : top + step]
            tall_bWD = tall_BWD[: len(piece_BSWD)]
            _fold(piece_BSWD.unbind(1), tall_bWD)
            _fold(tall_bWD.unflatten(1, (out_w, stride)).unbind(2), out_BQD)
            yield frame, top, piece_BSWD


def _rows_at_once(shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many rows [Q, D] of results to make at once, so that a few of them stay in a core's cache."""
    return max(PIECE_BYTES // 8 // max(shape[2] * shape[3] * itemsize, 1), 1)


def _taps(frame_HWD: Tensor, stride: int) -> list[Tensor]:
    """Return views [P, Q, D]: the first tokens of all whole blocks, the second ones, row by row."""
    height, width = frame_HWD.shape[0] // stride * stride, frame_HWD.shape[1] // stride * stride
    whole_HWD = frame_HWD[:height, :width]
    return [whole_HWD[y::stride, x::stride] for y in range(stride) for x in range(stride)]


def _fold(parts: tuple[Tensor, ...], out: Tensor) -> None:
    """Write the largest of several tensors."""
    if len(parts) == 1:
        out.copy_(parts[0])
        return
    torch.maximum(parts[0], parts[1], out=out)
    for part in parts[2:]:
        torch.maximum(out, part, out=out)


@lru_cache(maxsize=32)
def _mean_taps(frames: int, height: int, width: int, stride: int, dtype: torch.dtype, backward: bool) -> Taps:
    out_h, out_w, area = height // stride, width // stride, stride * stride
    token_FHW = np.arange(frames * height * width, dtype=np.int32).reshape(frames, height, width)
    kept_FHW = token_FHW[:, : out_h * stride, : out_w * stride]
    index_X = kept_FHW.reshape(frames, out_h, stride, out_w, stride).transpose(0, 1, 3, 2, 4).reshape(-1)
    counts_T = np.full(frames * out_h * out_w, area, dtype=np.int64)
    taps = taps_of(counts_T, index_X, np.full(len(index_X), np.float32(1) / np.float32(area)))
    return (transposed(taps, frames * height * width) if backward else taps).weighted_in(dtype)
