"""The entry point of frame pooling: pool(frames, stride, mode) -> tokens, differentiable and traceable.

Legend: F frames, H W rows and columns of tokens in a frame, D width, P Q rows and columns of the result.
"""

from typing import Any

import torch
from torch import Tensor

from kernels.pool import cpu
from kernels.threshold.op import GPU_DTYPES, threshold

MODES = ("average", "bilinear", "max")
# a winner's place in its block is kept in a byte
LARGEST_STRIDE = 16


def pool(frames_FHWD: Tensor, stride: int, mode: str) -> Tensor:
    """Return pooled frames [F, P, Q, D] in the frames' dtype.

    mode: "average" and "max" take blocks of stride x stride and drop the remainder (P = H // stride), "bilinear"
    resamples the whole frame and rounds up (P = ceil(H / stride)). Differentiable; Triton on CUDA and ROCm, torch on a
    CPU. Raises ValueError for a mode it does not know and a stride that leaves no token.
    """
    _check(frames_FHWD, stride, mode)
    if mode == "bilinear":
        height, width = frames_FHWD.shape[1:3]
        out_tok = (-(-height // stride), -(-width // stride))
        return threshold(frames_FHWD[:, None, None], (0, 0, height, width), out_tok)
    wants_winners = mode == "max" and torch.is_grad_enabled() and frames_FHWD.requires_grad
    return pool_op(frames_FHWD.contiguous(), stride, mode == "max", wants_winners)[0]


def _check(frames_FHWD: Tensor, stride: int, mode: str) -> None:
    if frames_FHWD.ndim != 4:
        raise ValueError(f"pool: expected frames [F, H, W, D], found {tuple(frames_FHWD.shape)}")
    if mode not in MODES:
        raise ValueError(f"pool: expected a mode of {', '.join(MODES)}, found {mode!r}")
    height, width = frames_FHWD.shape[1:3]
    if stride < 1 or min(height, width) < (1 if mode == "bilinear" else stride):
        raise ValueError(f"pool: stride {stride} leaves no token of a {height} x {width} frame")
    if mode == "max" and stride > LARGEST_STRIDE:
        raise ValueError(f"pool: the largest of blocks of at most {LARGEST_STRIDE} x {LARGEST_STRIDE}, found {stride}")
    if frames_FHWD.device.type not in ("cpu", "cuda"):
        raise ValueError(f"pool: expected frames on a cpu or cuda device, found {frames_FHWD.device}")
    if frames_FHWD.is_cuda and frames_FHWD.dtype not in GPU_DTYPES:
        raise ValueError(f"pool: on cuda expected float32, float16 or bfloat16, found {frames_FHWD.dtype}")


def _shape(frames_FHWD: Tensor, stride: int) -> tuple[int, ...]:
    frames, height, width, channels = frames_FHWD.shape
    return frames, height // stride, width // stride, channels


def _winners(frames_FHWD: Tensor, stride: int, wanted: bool) -> Tensor:
    shape = _shape(frames_FHWD, stride) if wanted else (0,)
    return frames_FHWD.new_empty(shape, dtype=torch.uint8)


@torch.library.custom_op("anyres::pool", mutates_args=(), device_types="cpu")
def pool_op(frames_FHWD: Tensor, stride: int, largest: bool, wants_winners: bool) -> tuple[Tensor, Tensor]:
    """Return means or largest [F, P, Q, D] of blocks, and the winners' places, uint8, where wanted, else [0]."""
    if not largest:
        return cpu.mean(frames_FHWD, stride), _winners(frames_FHWD, stride, False)
    if wants_winners:
        return cpu.largest_and_winners(frames_FHWD, stride)
    return cpu.largest(frames_FHWD, stride), _winners(frames_FHWD, stride, False)


@pool_op.register_kernel("cuda")
def _(frames_FHWD: Tensor, stride: int, largest: bool, wants_winners: bool) -> tuple[Tensor, Tensor]:
    # triton is imported by the first use on a GPU: machines without one need not have it
    from kernels.pool.launch import launch_forward

    out_FPQD = frames_FHWD.new_empty(_shape(frames_FHWD, stride))
    winners_FPQD = _winners(frames_FHWD, stride, wants_winners)
    launch_forward(frames_FHWD, stride, largest, out_FPQD, winners_FPQD)
    return out_FPQD, winners_FPQD


@pool_op.register_fake
def _(frames_FHWD: Tensor, stride: int, largest: bool, wants_winners: bool) -> tuple[Tensor, Tensor]:
    return frames_FHWD.new_empty(_shape(frames_FHWD, stride)), _winners(frames_FHWD, stride, wants_winners)


@torch.library.custom_op("anyres::pool_grad", mutates_args=(), device_types="cpu")
def pool_grad_op(
    grad_FPQD: Tensor, winners_FPQD: Tensor, height: int, width: int, stride: int, largest: bool
) -> Tensor:
    """Return the gradient [F, H, W, D] of the frames, in the dtype of grad_FPQD."""
    if largest:
        return cpu.largest_grad(grad_FPQD, winners_FPQD, height, width, stride)
    return cpu.mean_grad(grad_FPQD, height, width, stride)


@pool_grad_op.register_kernel("cuda")
def _(grad_FPQD: Tensor, winners_FPQD: Tensor, height: int, width: int, stride: int, largest: bool) -> Tensor:
    from kernels.pool.launch import launch_grad

    out_FHWD = grad_FPQD.new_empty(grad_FPQD.shape[0], height, width, grad_FPQD.shape[3])
    launch_grad(grad_FPQD, winners_FPQD, stride, out_FHWD)
    return out_FHWD


@pool_grad_op.register_fake
def _(grad_FPQD: Tensor, winners_FPQD: Tensor, height: int, width: int, stride: int, largest: bool) -> Tensor:
    return grad_FPQD.new_empty(grad_FPQD.shape[0], height, width, grad_FPQD.shape[3])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    frames_FHWD, stride, largest, _ = inputs
    ctx.save_for_backward(output[1])
    ctx.height, ctx.width, ctx.stride, ctx.largest = *frames_FHWD.shape[1:3], stride, largest


def _backward(ctx: Any, grad_FPQD: Tensor, _: None) -> tuple[Any, ...]:
    (winners_FPQD,) = ctx.saved_tensors
    grad = torch.ops.anyres.pool_grad(
        grad_FPQD.contiguous(), winners_FPQD, ctx.height, ctx.width, ctx.stride, ctx.largest
    )
    return grad, None, None, None


pool_op.register_autograd(_backward, setup_context=_setup_context)
