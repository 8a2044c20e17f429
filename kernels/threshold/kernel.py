"""Bilinear token thresholding as Triton kernels, forward and backward, straight from tiles: no canvas is assembled.

For the crop (y, x, h, w) of a map and a result of P x Q tokens:

    out[p, q] = sum over i, j in {0, 1} of wy[i] wx[j] map[y + y_i, x + x_j]
    s = max((p + 0.5) h / P - 0.5, 0), y_0 = floor(s), y_1 = min(y_0 + 1, h - 1), wy = (1 - s + y_0, s - y_0)
    x alike, with w and Q
    map[y, x] = tiles[y // Y, x // X, y % Y, x % X]

The gradient of a token is a gather too: it sums over the results whose y_0 or y_1, and x_0 or x_1, it is, which lie in
a span of 2 P / h + 2 rows and as many columns. No atomics: the order of every sum is fixed. Sums are in float32,
offsets in int64. Every program has one row of tokens, so that all that depends on the row is one number for it.

Legend: M maps, R C rows and columns of tiles in a map, Y X rows and columns of tokens in a tile, D width, P Q rows and
columns of the result.
"""

import triton
import triton.language as tl

INTEGERS = [
    *("rows", "cols", "tile_h", "tile_w"),
    *("crop_y", "crop_x", "crop_h", "crop_w", "out_h", "out_w"),
]


@triton.jit
def _axis(place, size, out):
    """Return (low, high, part) of bilinear resampling along one axis, as torch computes them in float32."""
    scale = tl.div_rn(size.to(tl.float32), out.to(tl.float32))
    # a multiply and subtract, rounded once
    source = tl.maximum(tl.fma(scale, place.to(tl.float32) + 0.5, -0.5), 0.0)
    low = tl.minimum(source.to(tl.int32), size - 1)
    part = tl.minimum(tl.maximum(source - low.to(tl.float32), 0.0), 1.0)
    return low, tl.minimum(low + 1, size - 1), part


@triton.jit
def _first_fed(place, size, out):
    """Return the first result along an axis that a token may feed, which may be negative."""
    # floor((place - 0.5) out / size - 0.5), kept positive until it is divided
    return ((2 * place - 1) * out - size + 2 * size * out) // (2 * size) - out


@triton.jit
def _weight(place, size, out, token):
    """Return the weight of a token of the crop in result `place` along an axis; 0 outside."""
    low, high, part = _axis(place, size, out)
    weight = tl.where(low == token, 1.0 - part, 0.0) + tl.where(high == token, part, 0.0)
    return tl.where((place >= 0) & (place < out), weight, 0.0)


@triton.jit
def _row(cols, tile_h, tile_w, y):
    """Return what row y adds to a flat token, as int64; what its column adds is _col."""
    return ((y // tile_h).to(tl.int64) * cols * tile_h + y % tile_h) * tile_w


@triton.jit
def _col(tile_h, tile_w, x):
    """Return what column x adds to a flat token."""
    return (x // tile_w) * tile_h * tile_w + x % tile_w


@triton.jit(do_not_specialize=INTEGERS)
def threshold_forward_kernel(
    tiles_ptr,  # [M, R, C, Y, X, D]
    out_ptr,  # [M, P, Q, D]
    rows,
    cols,
    tile_h,
    tile_w,
    crop_y,
    crop_x,
    crop_h,
    crop_w,
    out_h,
    out_w,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write TOKENS results of one row, BLOCK channels of each."""
    spans = tl.cdiv(out_w, TOKENS)
    row = tl.program_id(0) // spans
    p = row % out_h
    q = (tl.program_id(0) % spans) * TOKENS + tl.arange(0, TOKENS)
    live = q < out_w
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < D)[None, :]
    map_tokens = (row // out_h).to(tl.int64) * rows * cols * tile_h * tile_w
    low_y, high_y, part_y = _axis(p, crop_h, out_h)
    low_x, high_x, part_x = _axis(q, crop_w, out_w)
    row_low = map_tokens + _row(cols, tile_h, tile_w, crop_y + low_y)
    row_high = map_tokens + _row(cols, tile_h, tile_w, crop_y + high_y)
    col_low, col_high = _col(tile_h, tile_w, crop_x + low_x), _col(tile_h, tile_w, crop_x + high_x)
    total = tl.zeros([TOKENS, BLOCK], tl.float32)
    for corner in tl.static_range(4):
        weight = (1.0 - part_y if corner < 2 else part_y) * (1.0 - part_x if corner % 2 == 0 else part_x)
        used = live & (weight != 0.0)
        token = (row_low if corner < 2 else row_high) + (col_low if corner % 2 == 0 else col_high)
        token = tl.where(used, token, 0)
        offset = token[:, None] * D + channel[None, :]
        tap = tl.load(tiles_ptr + offset, mask=used[:, None] & inside, other=0.0)
        total += weight[:, None] * tap.to(tl.float32)
    offset = (row.to(tl.int64) * out_w + q)[:, None] * D + channel[None, :]
    tl.store(out_ptr + offset, total.to(out_ptr.dtype.element_ty), mask=live[:, None] & inside)


@triton.jit(do_not_specialize=INTEGERS)
def threshold_grad_kernel(
    grad_ptr,  # [M, P, Q, D]
    out_ptr,  # [M, R, C, Y, X, D]
    rows,
    cols,
    tile_h,
    tile_w,
    crop_y,
    crop_x,
    crop_h,
    crop_w,
    out_h,
    out_w,
    D: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK: tl.constexpr,
    SPAN_H: tl.constexpr,
    SPAN_W: tl.constexpr,
):
    """Write the gradient of TOKENS tokens of one row of a map, BLOCK channels of each; 0 outside the crop."""
    spans = tl.cdiv(cols * tile_w, TOKENS)
    row = tl.program_id(0) // spans
    y = row % (rows * tile_h)
    x = (tl.program_id(0) % spans) * TOKENS + tl.arange(0, TOKENS)
    live = x < cols * tile_w
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < D)[None, :]
    which = (row // (rows * tile_h)).to(tl.int64)
    in_y, in_x = y - crop_y, x - crop_x
    kept_x = live & (in_x >= 0) & (in_x < crop_w)
    first_p = _first_fed(tl.maximum(in_y, 0), crop_h, out_h)
    first_q = _first_fed(tl.maximum(in_x, 0), crop_w, out_w)
    total = tl.zeros([TOKENS, BLOCK], tl.float32)
    # unrolled, the loop would hold more registers than there are
    for i in range(SPAN_H):
        weight_y = _weight(first_p + i, crop_h, out_h, in_y)
        # most results in reach have no weight: of 3 x 3, a map that is halved feeds one
        if weight_y != 0.0:
            for j in tl.static_range(SPAN_W):
                weight = weight_y * _weight(first_q + j, crop_w, out_w, in_x)
                used = kept_x & (weight != 0.0)
                if tl.max(used.to(tl.int32), axis=0) > 0:
                    result = (which * out_h + first_p + i) * out_w + first_q + j
                    offset = tl.where(used, result, 0)[:, None] * D + channel[None, :]
                    grad = tl.load(grad_ptr + offset, mask=used[:, None] & inside, other=0.0)
                    total += tl.where(used, weight, 0.0)[:, None] * grad.to(tl.float32)
    token = which * rows * cols * tile_h * tile_w + _row(cols, tile_h, tile_w, y) + _col(tile_h, tile_w, x)
    offset = token[:, None] * D + channel[None, :]
    tl.store(out_ptr + offset, total.to(out_ptr.dtype.element_ty), mask=live[:, None] & inside)
