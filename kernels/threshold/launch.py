"""Start the thresholding kernels: one launch each, none for an empty output.

Legend: M maps, R C rows and columns of tiles in a map, Y X rows and columns of tokens in a tile, D width, P Q rows and
columns of the result.
"""

import torch
import triton
from torch import Tensor

from kernels.pack.launch import checked, tile_shape
from kernels.threshold.kernel import threshold_forward_kernel, threshold_grad_kernel


def launch_forward(tiles_MRCYXD: Tensor, crop_tok: tuple[int, int, int, int], out_MPQD: Tensor) -> None:
    """Write the resampled crops into out_MPQD; both tensors contiguous, on one device."""
    maps, out_h, out_w, width = out_MPQD.shape
    tokens, block, warps = tile_shape(width, out_MPQD.element_size())
    grid = (maps * out_h * triton.cdiv(out_w, tokens), triton.cdiv(width, block))
    if min(checked(grid)) == 0:
        return
    with torch.cuda.device_of(out_MPQD):
        threshold_forward_kernel[grid](
            tiles_MRCYXD,
            out_MPQD,
            *tiles_MRCYXD.shape[1:5],
            *crop_tok,
            out_h,
            out_w,
            D=width,
            TOKENS=tokens,
            BLOCK=block,
            num_warps=warps,
        )


def launch_grad(grad_MPQD: Tensor, crop_tok: tuple[int, int, int, int], out_MRCYXD: Tensor) -> None:
    """Write the gradient of the tiles into out_MRCYXD; both tensors contiguous, on one device."""
    maps, rows, cols, tile_h, tile_w, width = out_MRCYXD.shape
    tokens, block, warps = tile_shape(width, out_MRCYXD.element_size())
    grid = (maps * rows * tile_h * triton.cdiv(cols * tile_w, tokens), triton.cdiv(width, block))
    if min(checked(grid)) == 0:
        return
    out_tok = (grad_MPQD.shape[1], grad_MPQD.shape[2])
    # results in reach of a token
    span_h, span_w = (2 * out // max(size, 1) + 2 for out, size in zip(out_tok, crop_tok[2:], strict=True))
    with torch.cuda.device_of(out_MRCYXD):
        threshold_grad_kernel[grid](
            grad_MPQD,
            out_MRCYXD,
            rows,
            cols,
            tile_h,
            tile_w,
            *crop_tok,
            *out_tok,
            D=width,
            TOKENS=tokens,
            BLOCK=block,
            num_warps=warps,
            SPAN_H=span_h,
            SPAN_W=span_w,
        )
