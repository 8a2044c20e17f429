"""Pooling by blocks on a CPU: means as weighted rows, the largest by running comparison in cache.

Legend: F frames, H W rows and columns of tokens in a frame, D width, P Q rows and columns of the result, B pieces of
rows, S stride, M source tokens.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from kernels.pack.maps import Taps, taps_of
from kernels.threshold.taps import transposed, weighted_rows

# bytes of input whose largest numbers are taken at once: what stays in a core's cache
PIECE_BYTES = 2**20


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
    frames, height, width, channels = frames_FHWD.shape
    out_h, out_w = height // stride, width // stride
    out_FPQD = frames_FHWD.new_empty(frames, out_h, out_w, channels)
    row_bytes = max(stride * width * channels * frames_FHWD.itemsize, 1)
    step = max(PIECE_BYTES // row_bytes, 1)
    tall_BWD = frames_FHWD.new_empty(min(step, out_h), out_w * stride, channels)
    for frame_HWD, out_PQD in zip(frames_FHWD, out_FPQD, strict=True):
        blocks_PSWD = frame_HWD[: out_h * stride, : out_w * stride].unflatten(0, (out_h, stride))
        for top in range(0, out_h, step):
            piece_BSWD, out_BQD = blocks_PSWD[top : top + step], out_PQD[top : top + step]
            tall_bWD = tall_BWD[: len(piece_BSWD)]
            _fold(piece_BSWD.unbind(1), tall_bWD)
            _fold(tall_bWD.unflatten(1, (out_w, stride)).unbind(2), out_BQD)
    return out_FPQD


def largest_and_winners(frames_FHWD: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return the largest numbers [F, P, Q, D] of blocks, and the place of each in its block, uint8.

    The first of equal numbers wins, and the last NaN, as in torch's max_pool2d.
    """
    height, width = frames_FHWD.shape[1] // stride * stride, frames_FHWD.shape[2] // stride * stride
    cropped_FHWD = frames_FHWD[:, :height, :width]
    best_FPQD = cropped_FHWD[:, ::stride, ::stride].clone()
    place_FPQD = torch.zeros_like(best_FPQD, dtype=torch.uint8)
    for place in range(1, stride * stride):
        tap_FPQD = cropped_FHWD[:, place // stride :: stride, place % stride :: stride]
        better_FPQD = (tap_FPQD > best_FPQD) | (tap_FPQD != tap_FPQD)
        place_FPQD.masked_fill_(better_FPQD, place)
        torch.maximum(best_FPQD, tap_FPQD, out=best_FPQD)
    return best_FPQD, place_FPQD


def largest_grad(grad_FPQD: Tensor, winners_FPQD: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Return the gradient [F, H, W, D] of frames: all of a block's goes to its winner."""
    frames, out_h, out_w, channels = grad_FPQD.shape
    out_FHWD = grad_FPQD.new_zeros(frames, height, width, channels)
    kept_FHWD = out_FHWD[:, : out_h * stride, : out_w * stride]
    for place in range(stride * stride):
        won_FPQD = grad_FPQD.masked_fill(winners_FPQD != place, 0)
        kept_FHWD[:, place // stride :: stride, place % stride :: stride] = won_FPQD
    return out_FHWD


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
