"""The entry points of the rotary embedding: rope gives new tensors, rope_ writes into those it gets.

Legend: B rows, H query heads, G key heads, L positions, D head width, R = half of the rotated channels.
"""

from typing import Any

import torch
from torch import Tensor

from kernels.rope.cpu import rotate

GPU_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def rope(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotated queries [B, H, L, D] and keys [B, G, L, D], memory laid out as theirs; differentiable in both.

    cos, sin: [B or 1, L, R], any float dtype, one number for channels r and R + r; channels from 2 R on are copied.
    One launch of Triton on CUDA and ROCm, torch on a CPU. Raises ValueError for tensors that do not fit each other.
    """
    cos_BLR, sin_BLR = _checked(q_BHLD, k_BGLD, cos_BLR, sin_BLR)
    return rope_op(q_BHLD, k_BGLD, cos_BLR, sin_BLR, False)


def rope_(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate queries and keys in place and return them; otherwise as rope.

    Where a gradient is wanted, go on with what is returned: it shares memory with what was given, and autograd
    refuses to use the old numbers.
    """
    cos_BLR, sin_BLR = _checked(q_BHLD, k_BGLD, cos_BLR, sin_BLR)
    if torch.is_grad_enabled() and (q_BHLD.requires_grad or k_BGLD.requires_grad):
        return _InPlace.apply(q_BHLD, k_BGLD, cos_BLR, sin_BLR)
    rope_in_place_op(q_BHLD, k_BGLD, cos_BLR, sin_BLR)
    return q_BHLD, k_BGLD


def _checked(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tables for each row, channels next to each other."""
    shapes = [tuple(tensor.shape) for tensor in (q_BHLD, k_BGLD, cos_BLR, sin_BLR)]
    if [len(shape) for shape in shapes] != [4, 4, 3, 3] or shapes[2] != shapes[3]:
        raise ValueError(f"rope: expected q [B, H, L, D], k [B, G, L, D] and two tables [B, L, R], found {shapes}")
    (rows, _, length, width), (k_rows, _, k_length, k_width), (table_rows, table_length, half), _ = shapes
    if (k_rows, k_length, k_width) != (rows, length, width):
        raise ValueError(f"rope: expected queries and keys of the same rows, positions and width, found {shapes[:2]}")
    if table_length != length or table_rows not in (1, rows) or 2 * half > width:
        raise ValueError(f"rope: tables {shapes[2]} do not fit queries {shapes[0]}")
    tensors = (q_BHLD, k_BGLD, cos_BLR, sin_BLR)
    devices = {str(tensor.device) for tensor in tensors}
    if len(devices) > 1 or q_BHLD.device.type not in ("cpu", "cuda"):
        raise ValueError(f"rope: expected all on one cpu or cuda device, found {sorted(devices)}")
    if q_BHLD.dtype != k_BGLD.dtype or (q_BHLD.is_cuda and q_BHLD.dtype not in GPU_DTYPES):
        found = f"{q_BHLD.dtype} and {k_BGLD.dtype}"
        raise ValueError(f"rope: expected one dtype (on cuda a float of 2 or 4 bytes), found {found}")
    if q_BHLD.stride(3) != 1 or k_BGLD.stride(3) != 1:
        raise ValueError("rope: expected the channels of a head next to each other")
    return tuple(_rows(table, rows) for table in (cos_BLR.detach(), sin_BLR.detach()))


def _rows(table_BLR: Tensor, rows: int) -> Tensor:
    return table_BLR.contiguous().expand(rows, -1, -1)


@torch.library.custom_op("anyres::rope", mutates_args=(), device_types="cpu")
def rope_op(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Return rotated queries and keys. inverse: by the opposite angles."""
    q_out, k_out = _like(q_BHLD), _like(k_BGLD)
    sin_BLR = -sin_BLR if inverse else sin_BLR
    rest = slice(2 * cos_BLR.shape[-1], None)
    for x, out in ((q_BHLD, q_out), (k_BGLD, k_out)):
        rotate(x, cos_BLR, sin_BLR, out)
        out[..., rest] = x[..., rest]
    return q_out, k_out


@rope_op.register_kernel("cuda")
def _(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    # triton is imported by the first use on a GPU: machines without one need not have it
    from kernels.rope.launch import launch

    q_out, k_out = _like(q_BHLD), _like(k_BGLD)
    launch(q_BHLD, k_BGLD, cos_BLR, sin_BLR, q_out, k_out, inverse=inverse)
    return q_out, k_out


@rope_op.register_fake
def _(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    return _like(q_BHLD), _like(k_BGLD)


def _like(x_BHLD: Tensor) -> Tensor:
    """Return new memory, positions before heads: as projections leave it and attention reads it."""
    rows, heads, length, width = x_BHLD.shape
    return x_BHLD.new_empty(rows, length, heads, width).transpose(1, 2)


@torch.library.custom_op("anyres::rope_", mutates_args=("q_BHLD", "k_BGLD"), device_types="cpu")
def rope_in_place_op(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> None:
    """Rotate queries and keys in place."""
    rotate(q_BHLD, cos_BLR, sin_BLR, q_BHLD)
    rotate(k_BGLD, cos_BLR, sin_BLR, k_BGLD)


@rope_in_place_op.register_kernel("cuda")
def _(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> None:
    from kernels.rope.launch import launch

    launch(q_BHLD, k_BGLD, cos_BLR, sin_BLR, q_BHLD, k_BGLD)


@rope_in_place_op.register_fake
def _(q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> None:
    return None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[2], inputs[3])
    ctx.inverse = inputs[4]


def _backward(ctx: Any, grad_q: Tensor, grad_k: Tensor) -> tuple[Any, ...]:
    cos_BLR, sin_BLR = ctx.saved_tensors
    grad_q, grad_k = (grad if grad.stride(3) == 1 else grad.contiguous() for grad in (grad_q, grad_k))
    return *torch.ops.anyres.rope(grad_q, grad_k, cos_BLR, sin_BLR, not ctx.inverse), None, None, None


rope_op.register_autograd(_backward, setup_context=_setup_context)


class _InPlace(torch.autograd.Function):
    """The rotation in place, with a gradient."""

    @staticmethod
    def forward(ctx: Any, q_BHLD: Tensor, k_BGLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos_BLR, sin_BLR)
        ctx.inverse = False
        # a detached tensor has the version counter of its source: whoever saved the old numbers is told
        q_out, k_out = q_BHLD.detach(), k_BGLD.detach()
        rope_in_place_op(q_out, k_out, cos_BLR, sin_BLR)
        return q_out, k_out

    @staticmethod
    def backward(ctx: Any, grad_q: Tensor, grad_k: Tensor) -> tuple[Any, ...]:
        return _backward(ctx, grad_q, grad_k)[:4]
