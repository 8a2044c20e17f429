"""The entry point of thresholding: threshold(tiles, crop, out) -> tokens, differentiable and traceable.

Legend: M maps, R C rows and columns of tiles in a map, Y X rows and columns of tokens in a tile, D width, P Q rows and
columns of the result.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.threshold.taps import threshold_taps, weighted_rows

GPU_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def threshold(tiles_MRCYXD: Tensor, crop_tok: tuple[int, int, int, int], out_tok: tuple[int, int]) -> Tensor:
    """Return the crop (y, x, h, w) of each map, bilinearly resampled, [M, P, Q, D] in the dtype of the tiles.

    A map is R x C tiles of Y x X tokens; one whole map [H, W, D] is `map.view(1, 1, 1, H, W, D)`. Which size keeps a
    target is for `anyres.threshold` to say. Differentiable; Triton on CUDA and ROCm, torch on a CPU. Raises ValueError
    for a crop that is empty or leaves its map.
    """
    _check(tiles_MRCYXD, crop_tok, out_tok)
    return threshold_op(tiles_MRCYXD.contiguous(), crop_tok, out_tok)


def _check(tiles_MRCYXD: Tensor, crop_tok: tuple[int, int, int, int], out_tok: tuple[int, int]) -> None:
    if tiles_MRCYXD.ndim != 6:
        raise ValueError(f"threshold: expected tiles [M, R, C, Y, X, D], found {tuple(tiles_MRCYXD.shape)}")
    _, rows, cols, tile_h, tile_w, _ = tiles_MRCYXD.shape
    y, x, h, w = crop_tok
    if min(y, x) < 0 or min(h, w, *out_tok) < 1 or y + h > rows * tile_h or x + w > cols * tile_w:
        found = f"crop {tuple(crop_tok)} to {tuple(out_tok)}"
        raise ValueError(f"threshold: {found} of a map of {rows * tile_h} x {cols * tile_w} tokens")
    if tiles_MRCYXD.device.type not in ("cpu", "cuda"):
        raise ValueError(f"threshold: expected tiles on a cpu or cuda device, found {tiles_MRCYXD.device}")
    if tiles_MRCYXD.is_cuda and tiles_MRCYXD.dtype not in GPU_DTYPES:
        raise ValueError(f"threshold: on cuda expected float32, float16 or bfloat16, found {tiles_MRCYXD.dtype}")


@torch.library.custom_op("anyres::threshold", mutates_args=(), device_types="cpu")
def threshold_op(tiles_MRCYXD: Tensor, crop_tok: Sequence[int], out_tok: Sequence[int]) -> Tensor:
    """Return the resampled crops [M, P, Q, D] of contiguous tiles."""
    shape = tuple(tiles_MRCYXD.shape)
    taps = threshold_taps(shape[:5], tuple(crop_tok), tuple(out_tok), tiles_MRCYXD.dtype, backward=False)
    rows_TD = weighted_rows(tiles_MRCYXD.flatten(0, 4), taps)
    return rows_TD.view(shape[0], *out_tok, shape[5])


@threshold_op.register_kernel("cuda")
def _(tiles_MRCYXD: Tensor, crop_tok: Sequence[int], out_tok: Sequence[int]) -> Tensor:
    # triton is imported by the first use on a GPU: machines without one need not have it
    from kernels.threshold.launch import launch_forward

    out_MPQD = tiles_MRCYXD.new_empty(tiles_MRCYXD.shape[0], *out_tok, tiles_MRCYXD.shape[5])
    launch_forward(tiles_MRCYXD, tuple(crop_tok), out_MPQD)
    return out_MPQD


@threshold_op.register_fake
def _(tiles_MRCYXD: Tensor, crop_tok: Sequence[int], out_tok: Sequence[int]) -> Tensor:
    return tiles_MRCYXD.new_empty(tiles_MRCYXD.shape[0], *out_tok, tiles_MRCYXD.shape[5])


@torch.library.custom_op("anyres::threshold_grad", mutates_args=(), device_types="cpu")
def threshold_grad_op(grad_MPQD: Tensor, shape_MRCYX: Sequence[int], crop_tok: Sequence[int]) -> Tensor:
    """Return the gradient [M, R, C, Y, X, D] of the tiles, in the dtype of grad_MPQD."""
    out_tok, width = tuple(grad_MPQD.shape[1:3]), grad_MPQD.shape[3]
    taps = threshold_taps(tuple(shape_MRCYX), tuple(crop_tok), out_tok, grad_MPQD.dtype, backward=True)
    return weighted_rows(grad_MPQD.flatten(0, 2), taps).view(*shape_MRCYX, width)


@threshold_grad_op.register_kernel("cuda")
def _(grad_MPQD: Tensor, shape_MRCYX: Sequence[int], crop_tok: Sequence[int]) -> Tensor:
    from kernels.threshold.launch import launch_grad

    out_MRCYXD = grad_MPQD.new_empty(*shape_MRCYX, grad_MPQD.shape[3])
    launch_grad(grad_MPQD, tuple(crop_tok), out_MRCYXD)
    return out_MRCYXD


@threshold_grad_op.register_fake
def _(grad_MPQD: Tensor, shape_MRCYX: Sequence[int], crop_tok: Sequence[int]) -> Tensor:
    return grad_MPQD.new_empty(*shape_MRCYX, grad_MPQD.shape[3])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tiles_MRCYXD, crop_tok, _ = inputs
    ctx.shape_MRCYX, ctx.crop_tok = tiles_MRCYXD.shape[:5], crop_tok


def _backward(ctx: Any, grad_MPQD: Tensor) -> tuple[Any, ...]:
    grad = torch.ops.anyres.threshold_grad(grad_MPQD.contiguous(), ctx.shape_MRCYX, ctx.crop_tok)
    return grad, None, None


threshold_op.register_autograd(_backward, setup_context=_setup_context)
