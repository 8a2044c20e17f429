"""Packing as Triton kernels: one launch for a mixed batch of plans, one each for the two gradients.

With r = the token's rank in its segment, y, x = divmod(r, OUT_W + 1 if rows are closed else OUT_W):

    out[t] = ends[VEC]                                  where t closes its row or segment
           = features[source(y, x)]                     where the segment keeps its size
           = mean, or largest, of features[source(y h + i, x w + j)] over i < h, j < w     where REDUCE says so
           = sum over i, j in {0, 1} of wy[i] wx[j] features[source(y_i, x_j)]      elsewhere
    h = H / OUT_H, w = W / OUT_W
    s = max((y + 0.5) H / OUT_H - 0.5, 0), y_0 = floor(s), y_1 = min(y_0 + 1, H - 1), wy = (1 - s + y_0, s - y_0)
    x alike, with W and OUT_W
    source(y, x) = SRC + (((Y + y) // TOK) COLS + (X + x) // TOK) TOK^2 + ((Y + y) % TOK) TOK + (X + x) % TOK

The gradients are gathers too: grad_features[m] = sum of weight grad_out[t] over the packed tokens t that m feeds, which
the inverse map lists, and grad_ends[k] = sum of grad_out[t] over the tokens that are vector k. Of a largest, the
forward kernel leaves the winner's place in its block, the first of equal ones, and only that token gets the gradient.
No atomics: the order of every sum is fixed. Sums are in float32, offsets in int64. What a batch does not use is left
out when the kernel is compiled.

Packed tokens may be written straight into the language model's inputs: a visual index names the packed token of each
row, and rows of text get their word's vector in the same launch, or stay as they are. The gradients then read the rows
of each packed token.

Legend: M source tokens, D width, K end vectors, T packed tokens, S segments, C columns, R rows of the output, V words,
X taps, Y tokens in blocks of which the largest is taken.
"""

import triton
import triton.language as tl


@triton.jit
def _axis(place, size, out):
    """Return (low, high, part) of bilinear resampling along one axis, as torch computes them in float32."""
    scale = tl.div_rn(size.to(tl.float32), tl.maximum(out, 1).to(tl.float32))
    source = tl.maximum(tl.fma(scale, place.to(tl.float32) + 0.5, tl.full(place.shape, -0.5, tl.float32)), 0.0)
    low = tl.minimum(source.to(tl.int32), size - 1)
    part = tl.minimum(tl.maximum(source - low.to(tl.float32), 0.0), 1.0)
    return low, tl.minimum(low + 1, size - 1), part


@triton.jit
def _source(first, cols, tok, y, x):
    """Return the flat source token at (y, x) of a canvas, as int64."""
    tile = (y // tok) * cols + x // tok
    return first.to(tl.int64) + (tile.to(tl.int64) * tok + y % tok) * tok + x % tok


@triton.jit
def _tap(features_ptr, source, used, channel, inside, D: tl.constexpr):
    """Return the channels of source tokens in float32, 0 where they are not used."""
    offset = tl.where(used, source, 0)[:, None] * D + channel[None, :]
    return tl.load(features_ptr + offset, mask=used[:, None] & inside, other=0.0).to(tl.float32)


@triton.jit
def _resampled(features_ptr, canvas, crop, out_h, out_w, y, x, used, channel, inside, D: tl.constexpr):
    """Return tokens resampled bilinearly, in float32; canvas: (SRC, COLS, TOK), crop: (Y, X, H, W)."""
    first, cols, tok = canvas
    crop_y, crop_x, crop_h, crop_w = crop
    low_y, high_y, part_y = _axis(y, crop_h, out_h)
    low_x, high_x, part_x = _axis(x, crop_w, out_w)
    total = tl.zeros([y.shape[0], channel.shape[0]], tl.float32)
    for corner in tl.static_range(4):
        tap_y = low_y if corner < 2 else high_y
        tap_x = low_x if corner % 2 == 0 else high_x
        weight = (1.0 - part_y if corner < 2 else part_y) * (1.0 - part_x if corner % 2 == 0 else part_x)
        source = _source(first, cols, tok, crop_y + tap_y, crop_x + tap_x)
        total += weight[:, None] * _tap(features_ptr, source, used & (weight != 0.0), channel, inside, D)
    return total


@triton.jit
def _pooled(
    features_ptr, canvas, crop, out_h, out_w, y, x, reduce, used, channel, inside, D: tl.constexpr, PEAKS: tl.constexpr
):
    """Return means or largest of blocks in float32, and the place of each largest in its block."""
    first, cols, tok = canvas
    crop_y, crop_x, crop_h, crop_w = crop
    high = crop_h // tl.maximum(out_h, 1)
    wide = tl.maximum(crop_w // tl.maximum(out_w, 1), 1)
    area = tl.where(used, high * wide, 0)
    total = tl.zeros([y.shape[0], channel.shape[0]], tl.float32)
    largest = tl.zeros([y.shape[0], channel.shape[0]], tl.float32)
    winner = tl.zeros([y.shape[0], channel.shape[0]], tl.int32)
    for place in range(tl.max(area, axis=0)):
        here = place < area
        tap_y, tap_x = y * high + place // wide, x * wide + place % wide
        source = _source(first, cols, tok, crop_y + tap_y, crop_x + tap_x)
        tap = _tap(features_ptr, source, here, channel, inside, D)
        total += tap
        if PEAKS:
            # as torch: a nan wins, and the last of several
            better = ((tap > largest) | (tap != tap) | (place == 0)) & here[:, None]
            largest = tl.where(better, tap, largest)
            winner = tl.where(better, place, winner)
    total = total * tl.div_rn(tl.full([y.shape[0]], 1.0, tl.float32), tl.maximum(area, 1).to(tl.float32))[:, None]
    if PEAKS:
        total = tl.where((reduce == 2)[:, None], largest, total)
    return total, winner


@triton.jit(do_not_specialize=["num_rows", "num_tokens", "num_words"])
def pack_forward_kernel(
    features_ptr,  # [M, D]
    ends_ptr,  # [K, D]
    segments_ptr,  # int32 [S, 14], columns of kernels.pack.columns
    segment_of_ptr,  # int32 [T]
    out_ptr,  # [R, D]
    winners_ptr,  # uint8 [T, D] where WINNERS, else unused
    visual_ptr,  # int64 [R] where PLACED: the packed token of each row, -1 for text; else unused and R = T
    words_ptr,  # [V, D] and
    ids_ptr,  # int64 [R] where WORDS, else unused
    num_rows,
    num_tokens,
    num_words,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    RESAMPLED: tl.constexpr,
    BLOCKS: tl.constexpr,
    PEAKS: tl.constexpr,
    WINNERS: tl.constexpr,
    PLACED: tl.constexpr,
    WORDS: tl.constexpr,
):
    """Write ROWS rows, BLOCK channels of each; rows of text get their word's vector where WORDS, else stay as they are.

    RESAMPLED: any segment is. BLOCKS, PEAKS: any mean or largest, any largest, of blocks.
    """
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    t = r
    live = r < num_rows
    if PLACED:
        visual = tl.load(visual_ptr + r, mask=live, other=-1)
        is_text = live & (visual < 0)
        is_wrong = visual >= num_tokens
        live = live & ~is_text & ~is_wrong
        t = tl.where(live, visual, 0).to(tl.int32)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < D)[None, :]
    row = segments_ptr + tl.load(segment_of_ptr + t, mask=live, other=0) * 14
    canvas = (tl.load(row), tl.load(row + 1), tl.load(row + 2))
    crop = (tl.load(row + 3), tl.load(row + 4), tl.load(row + 5), tl.load(row + 6))
    out_h, out_w, end, vector = tl.load(row + 7), tl.load(row + 8), tl.load(row + 9), tl.load(row + 10)

    rank = t - tl.load(row + 11)
    row_length = tl.maximum(tl.where(end == 1, out_w + 1, out_w), 1)
    y, x = rank // row_length, rank % row_length
    close = tl.load(row + 13)
    is_last = (close > 0) & (rank == out_h * (out_w + (end == 1)) + (end == 2))
    vector = tl.where(is_last, close - 1, vector)
    is_end = ((end == 1) & (x == out_w)) | ((end == 2) & (rank == out_h * out_w)) | is_last
    copied = live & ~is_end
    if RESAMPLED or BLOCKS:
        resized = ((out_h != crop[2]) | (out_w != crop[3])) & copied
        copied = copied & ~resized
    if BLOCKS:
        reduce = tl.load(row + 12)
        pooled = resized & (reduce != 0)
        resized = resized & (reduce == 0)

    source = tl.where(copied, _source(canvas[0], canvas[1], canvas[2], crop[0] + y, crop[1] + x), 0)
    offset = source[:, None] * D + channel[None, :]
    value = tl.load(features_ptr + offset, mask=copied[:, None] & inside, other=0.0)
    if tl.max((is_end & live).to(tl.int32), axis=0) > 0:
        end_offset = vector.to(tl.int64)[:, None] * D + channel[None, :]
        closing = tl.load(ends_ptr + end_offset, mask=(is_end & live)[:, None] & inside, other=0.0)
        value = tl.where(is_end[:, None], closing.to(value.dtype), value)
    # the outer is decided when compiled, the inner by each program
    if RESAMPLED:  # noqa: SIM102
        if tl.max(resized.to(tl.int32), axis=0) > 0:
            total = _resampled(features_ptr, canvas, crop, out_h, out_w, y, x, resized, channel, inside, D)
            value = tl.where(resized[:, None], total.to(value.dtype), value)
    if BLOCKS:
        total, winner = _pooled(
            features_ptr, canvas, crop, out_h, out_w, y, x, reduce, pooled, channel, inside, D, PEAKS
        )
        value = tl.where(pooled[:, None], total.to(value.dtype), value)
        if WINNERS:
            kept = (pooled & (reduce == 2))[:, None] & inside
            winner_offset = t.to(tl.int64)[:, None] * D + channel[None, :]
            tl.store(winners_ptr + winner_offset, winner.to(tl.uint8), mask=kept)
    if WORDS:
        word_id = tl.load(ids_ptr + r, mask=is_text, other=0)
        is_wrong = is_wrong | (word_id < 0) | (word_id >= num_words)
        is_text = is_text & ~is_wrong
        word_offset = word_id[:, None] * D + channel[None, :]
        word = tl.load(words_ptr + word_offset, mask=is_text[:, None] & inside, other=0.0)
        value = tl.where(is_text[:, None], word, value)
        live = live | is_text
    if PLACED:
        # what names no packed token and no word shows
        missing = tl.full([ROWS, BLOCK], float("nan"), tl.float32).to(value.dtype)
        value = tl.where(is_wrong[:, None], missing, value)
        live = live | is_wrong
    out_offset = r.to(tl.int64)[:, None] * D + channel[None, :]
    tl.store(out_ptr + out_offset, value, mask=live[:, None] & inside)


@triton.jit
def _grad_of_tokens(grad_ptr, row_ptr, place_ptr, token, used, channel, inside, D: tl.constexpr, PLACED: tl.constexpr):
    """Return the gradient of packed tokens in float32: of row token, or where PLACED the sum over the token's rows."""
    if PLACED:
        start = tl.load(place_ptr + token, mask=used, other=0)
        count = tl.load(place_ptr + token + 1, mask=used, other=0) - start
        total = tl.zeros([token.shape[0], channel.shape[0]], tl.float32)
        for place in range(tl.max(count, axis=0)):
            here = used & (place < count)
            row = tl.load(row_ptr + start + place, mask=here, other=0)
            offset = row.to(tl.int64)[:, None] * D + channel[None, :]
            total += tl.load(grad_ptr + offset, mask=here[:, None] & inside, other=0.0).to(tl.float32)
    else:
        offset = token.to(tl.int64)[:, None] * D + channel[None, :]
        total = tl.load(grad_ptr + offset, mask=used[:, None] & inside, other=0.0).to(tl.float32)
    return total


@triton.jit(do_not_specialize=["num_source"])
def pack_grad_features_kernel(
    grad_ptr,  # [R, D]
    ptr_ptr,  # int32 [M + 1]
    index_ptr,  # int32 [X]
    weight_ptr,  # float32 [X]
    peak_ptr_ptr,  # int32 [M + 1], with the next three where WINNERS, else unused
    peak_index_ptr,  # int32 [Y]
    peak_place_ptr,  # int32 [Y]
    winners_ptr,  # uint8 [T, D]
    row_ptr,  # int32 [R] and
    place_ptr,  # int32 [T + 1] where PLACED: the rows of each packed token; else unused and R = T
    out_ptr,  # [M, D]
    num_source,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    WINNERS: tl.constexpr,
    PLACED: tl.constexpr,
):
    """Write the gradient of ROWS source tokens, BLOCK channels of each."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    live = m < num_source
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < D)[None, :]
    start = tl.load(ptr_ptr + m, mask=live, other=0)
    count = tl.load(ptr_ptr + m + 1, mask=live, other=0) - start
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for tap in range(tl.max(count, axis=0)):
        used = tap < count
        weight = tl.load(weight_ptr + start + tap, mask=used, other=0.0)
        token = tl.load(index_ptr + start + tap, mask=used, other=0)
        grad = _grad_of_tokens(grad_ptr, row_ptr, place_ptr, token, used, channel, inside, D, PLACED)
        total += weight[:, None] * grad
    if WINNERS:
        start = tl.load(peak_ptr_ptr + m, mask=live, other=0)
        count = tl.load(peak_ptr_ptr + m + 1, mask=live, other=0) - start
        for tap in range(tl.max(count, axis=0)):
            used = tap < count
            place = tl.load(peak_place_ptr + start + tap, mask=used, other=0)
            token = tl.load(peak_index_ptr + start + tap, mask=used, other=0)
            offset = token.to(tl.int64)[:, None] * D + channel[None, :]
            winner = tl.load(winners_ptr + offset, mask=used[:, None] & inside, other=0)
            grad = _grad_of_tokens(grad_ptr, row_ptr, place_ptr, token, used, channel, inside, D, PLACED)
            total += tl.where(winner.to(tl.int32) == place[:, None], grad, 0.0)
    value = total.to(out_ptr.dtype.element_ty)
    out_offset = m.to(tl.int64)[:, None] * D + channel[None, :]
    tl.store(out_ptr + out_offset, value, mask=live[:, None] & inside)


@triton.jit(do_not_specialize=["num_ends"])
def pack_grad_ends_kernel(
    grad_ptr,  # [R, D]
    end_ptr_ptr,  # int32 [K + 1]
    end_row_ptr,  # int32 [E]
    row_ptr,  # int32 [R] and
    place_ptr,  # int32 [T + 1] where PLACED, else unused and R = T
    out_ptr,  # float32 [SPLITS, K, D]
    num_ends,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    SPLITS: tl.constexpr,
    PLACED: tl.constexpr,
):
    """Write one split's share of the gradient of one end vector, BLOCK channels of it."""
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (channel < D)[None, :]
    vector, split = tl.program_id(0), tl.program_id(2)
    start, stop = tl.load(end_ptr_ptr + vector), tl.load(end_ptr_ptr + vector + 1)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for base in range(start + split * ROWS, stop, SPLITS * ROWS):
        place = base + tl.arange(0, ROWS)
        token = tl.load(end_row_ptr + place, mask=place < stop, other=0)
        total += _grad_of_tokens(grad_ptr, row_ptr, place_ptr, token, place < stop, channel, inside, D, PLACED)
    out_offset = (split * num_ends + vector).to(tl.int64) * D + channel
    tl.store(out_ptr + out_offset, tl.sum(total, axis=0), mask=channel < D)
