"""Start the pooling kernels: one launch each, none for an empty output.

Legend: F frames, H W rows and columns of tokens in a frame, D width, P Q rows and columns of the result.
"""

import torch
import triton
from torch import Tensor

from kernels.pack.launch import checked, tile_shape
from kernels.pool.kernel import pool_forward_kernel, pool_grad_kernel


def launch_forward(frames_FHWD: Tensor, stride: int, largest: bool, out_FPQD: Tensor, winners_FPQD: Tensor) -> None:
    """Write the means, or the largest, of blocks into out_FPQD; all tensors contiguous, on one device.

    winners_FPQD: uint8, gets the place in its block of each largest number; empty where they are not wanted.
    """
    frames, out_h, out_w, channels = out_FPQD.shape
    tokens, block, warps = tile_shape(channels, out_FPQD.element_size(), blocks=True)
    grid = (frames * out_h * triton.cdiv(out_w, tokens), triton.cdiv(channels, block))
    if min(checked(grid)) == 0:
        return
    with torch.cuda.device_of(out_FPQD):
        pool_forward_kernel[grid](
            frames_FHWD,
            out_FPQD,
            winners_FPQD,
            *frames_FHWD.shape[1:3],
            out_h,
            out_w,
            D=channels,
            STRIDE=stride,
            TOKENS=tokens,
            BLOCK=block,
            num_warps=warps,
            LARGEST=largest,
            WINNERS=winners_FPQD.numel() > 0,
        )


def launch_grad(grad_FPQD: Tensor, winners_FPQD: Tensor, stride: int, out_FHWD: Tensor) -> None:
    """Write the gradient of the frames into out_FHWD; all tensors contiguous, on one device.

    winners_FPQD: what the forward kernel left, empty where means were taken.
    """
    frames, height, width, channels = out_FHWD.shape
    tokens, block, warps = tile_shape(channels, out_FHWD.element_size(), blocks=True)
    spans = triton.cdiv(triton.cdiv(width, stride), tokens)
    grid = (frames * triton.cdiv(height, stride) * spans, triton.cdiv(channels, block))
    if min(checked(grid)) == 0:
        return
    with torch.cuda.device_of(out_FHWD):
        pool_grad_kernel[grid](
            grad_FPQD,
            winners_FPQD,
            out_FHWD,
            height,
            width,
            *grad_FPQD.shape[1:3],
            D=channels,
            STRIDE=stride,
            TOKENS=tokens,
            BLOCK=block,
            num_warps=warps,
            WINNERS=winners_FPQD.numel() > 0,
        )
