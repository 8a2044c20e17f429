"""The rotary embedding as a Triton kernel: queries and keys in one launch, in place or not.

For the channels r < R of a head at position l:

    out[r]     = x[r] cos[l, r] - x[R + r] sin[l, r]
    out[R + r] = x[R + r] cos[l, r] + x[r] sin[l, r]

and channels from 2 R on stay as they are. The gradient is the rotation by the opposite angle: the same kernel with
SIGN = -1. A program has one position: it reads that row of the tables once for a block of heads. Sums are in float32,
offsets in int64. Tensors are read by their strides, so heads may come before or behind positions.

Legend: B rows, H query heads, G key heads, L positions, D head width, R = half of the rotated channels.
"""

import triton
import triton.language as tl


@triton.jit
def _rotate(
    x_ptr,
    out_ptr,
    x_head,
    out_head,
    cos,
    sin,
    first_head,
    heads,
    HALF: tl.constexpr,
    REST: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
    REST_BLOCK: tl.constexpr,
):
    """Rotate HEADS heads at one position; x_ptr and out_ptr are the position's first numbers."""
    head = (first_head + tl.arange(0, HEADS)).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    live = (head < heads)[:, None]
    mask = live & (channel < HALF)[None, :]
    source = x_ptr + head[:, None] * x_head + channel[None, :]
    target = out_ptr + head[:, None] * out_head + channel[None, :]
    first = tl.load(source, mask=mask, other=0.0)
    second = tl.load(source + HALF, mask=mask, other=0.0)
    turned = first.to(tl.float32) * cos[None, :] - second.to(tl.float32) * sin[None, :]
    tl.store(target, turned.to(first.dtype), mask=mask)
    turned = second.to(tl.float32) * cos[None, :] + first.to(tl.float32) * sin[None, :]
    tl.store(target + HALF, turned.to(first.dtype), mask=mask)
    if REST:
        rest = tl.arange(0, REST_BLOCK)
        kept = live & (rest < REST)[None, :]
        value = tl.load(x_ptr + 2 * HALF + head[:, None] * x_head + rest[None, :], mask=kept, other=0.0)
        tl.store(out_ptr + 2 * HALF + head[:, None] * out_head + rest[None, :], value, mask=kept)


@triton.jit(do_not_specialize=["length"])
def rope_kernel(
    q_ptr,  # [B, H, L, D] by strides
    k_ptr,  # [B, G, L, D] by strides
    q_out_ptr,  # as q, or q itself
    k_out_ptr,  # as k, or k itself
    cos_ptr,  # [B, L, R] by strides
    sin_ptr,  # [B, L, R] by the strides of cos
    length,
    q_row,
    q_head,
    q_position,
    k_row,
    k_head,
    k_position,
    q_out_row,
    q_out_head,
    q_out_position,
    k_out_row,
    k_out_head,
    k_out_position,
    table_row,
    table_position,
    Q_HEADS: tl.constexpr,
    K_HEADS: tl.constexpr,
    HALF: tl.constexpr,
    REST: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
    REST_BLOCK: tl.constexpr,
    SIGN: tl.constexpr,
):
    """Rotate one position's HEADS query or key heads. REST: channels to copy behind the rotated ones, 0 in place."""
    row = (tl.program_id(0) // length).to(tl.int64)
    position = (tl.program_id(0) % length).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    table = row * table_row + position * table_position + channel
    cos = tl.load(cos_ptr + table, mask=channel < HALF, other=0.0).to(tl.float32)
    sin = tl.load(sin_ptr + table, mask=channel < HALF, other=0.0).to(tl.float32) * SIGN
    block = tl.program_id(1)
    q_blocks: tl.constexpr = (Q_HEADS + HEADS - 1) // HEADS
    if block < q_blocks:
        x_ptr = q_ptr + row * q_row + position * q_position
        out_ptr = q_out_ptr + row * q_out_row + position * q_out_position
        _rotate(
            x_ptr, out_ptr, q_head, q_out_head, cos, sin, block * HEADS, Q_HEADS, HALF, REST, HEADS, BLOCK, REST_BLOCK
        )
    else:
        x_ptr = k_ptr + row * k_row + position * k_position
        out_ptr = k_out_ptr + row * k_out_row + position * k_out_position
        first_head = (block - q_blocks) * HEADS
        _rotate(x_ptr, out_ptr, k_head, k_out_head, cos, sin, first_head, K_HEADS, HALF, REST, HEADS, BLOCK, REST_BLOCK)
