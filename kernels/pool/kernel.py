"""Pooling frames by blocks as Triton kernels, forward and backward. (Bilinear pooling is thresholding of each frame.)

    out[f, p, q] = mean, or largest, of frames[f, p s + i, q s + j] over i, j < s

The gradient of a mean is grad / s^2 for every token of the block; that of a largest goes to the winner, whose place in
the block the forward kernel writes down, the first of equal ones. Tokens behind the last whole block get 0. Every
token is read once and every gradient written once, in both directions, and no two programs write the same number: no
atomics. Sums are in float32, offsets in int64.

Legend: F frames, H W rows and columns of tokens in a frame, D width, P Q rows and columns of the result, s stride.
"""

import triton
import triton.language as tl

INTEGERS = ["height", "width", "out_h", "out_w"]


@triton.jit(do_not_specialize=INTEGERS)
def pool_forward_kernel(
    frames_ptr,  # [F, H, W, D]
    out_ptr,  # [F, P, Q, D]
    winners_ptr,  # uint8 [F, P, Q, D] where WINNERS, else unused
    height,
    width,
    out_h,
    out_w,
    D: tl.constexpr,
    STRIDE: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK: tl.constexpr,
    LARGEST: tl.constexpr,
    WINNERS: tl.constexpr,
):
    """Write TOKENS pooled tokens of one row, BLOCK channels of each."""
    spans = tl.cdiv(out_w, TOKENS)
    row = tl.program_id(0) // spans
    q = (tl.program_id(0) % spans) * TOKENS + tl.arange(0, TOKENS)
    live = q < out_w
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = live[:, None] & (channel < D)[None, :]
    # the first token of the block's first row
    top = ((row // out_h).to(tl.int64) * height + (row % out_h) * STRIDE) * width
    total = tl.zeros([TOKENS, BLOCK], tl.float32)
    winner = tl.zeros([TOKENS, BLOCK], tl.int32)
    for place in tl.static_range(STRIDE * STRIDE):
        token = top + (place // STRIDE) * width + q * STRIDE + place % STRIDE
        offset = token[:, None] * D + channel[None, :]
        tap = tl.load(frames_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        if LARGEST:
            # as torch: a nan wins, and the last of several
            better = (tap > total) | (tap != tap) | (place == 0)
            total = tl.where(better, tap, total)
            winner = tl.where(better, place, winner)
        else:
            total += tap
    if not LARGEST:
        total = total * (1.0 / (STRIDE * STRIDE))
    offset = (row.to(tl.int64) * out_w + q)[:, None] * D + channel[None, :]
    tl.store(out_ptr + offset, total.to(out_ptr.dtype.element_ty), mask=mask)
    if WINNERS:
        tl.store(winners_ptr + offset, winner.to(tl.uint8), mask=mask)


@triton.jit(do_not_specialize=INTEGERS)
def pool_grad_kernel(
    grad_ptr,  # [F, P, Q, D]
    winners_ptr,  # uint8 [F, P, Q, D] where WINNERS, else unused
    out_ptr,  # [F, H, W, D]
    height,
    width,
    out_h,
    out_w,
    D: tl.constexpr,
    STRIDE: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK: tl.constexpr,
    WINNERS: tl.constexpr,
):
    """Write the gradients of TOKENS blocks of one row, cut-off ones included, BLOCK channels of each token."""
    spans = tl.cdiv(tl.cdiv(width, STRIDE), TOKENS)
    row = tl.program_id(0) // spans
    rows = tl.cdiv(height, STRIDE)
    frame, p = (row // rows).to(tl.int64), row % rows
    q = (tl.program_id(0) % spans) * TOKENS + tl.arange(0, TOKENS)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < D)[None, :]
    whole = ((q < out_w) & (p < out_h))[:, None] & inside
    offset = ((frame * out_h + p) * out_w + q)[:, None] * D + channel[None, :]
    grad = tl.load(grad_ptr + offset, mask=whole, other=0.0).to(tl.float32)
    if WINNERS:
        winner = tl.load(winners_ptr + offset, mask=whole, other=0).to(tl.int32)
    else:
        grad = grad * (1.0 / (STRIDE * STRIDE))
    for place in tl.static_range(STRIDE * STRIDE):
        y, x = p * STRIDE + place // STRIDE, q * STRIDE + place % STRIDE
        token = (frame * height + y) * width + x
        value = grad
        if WINNERS:
            value = tl.where(winner == place, grad, 0.0)
        mask = ((x < width) & (y < height))[:, None] & inside
        offset = token[:, None] * D + channel[None, :]
        tl.store(out_ptr + offset, value.to(out_ptr.dtype.element_ty), mask=mask)
