"""The compiled loops. Importing this module compiles them, or reads what an earlier import has compiled.

A pixel is one 32-bit word: red in its lowest byte, then green, blue, and a byte that nothing reads. For the pass along
rows a strip of rows is turned on its side, so that both passes do the same: weigh whole lines of bytes and add them up,
which the compiler does for many bytes at a time.

Legend: H rows, W columns, R rows of a strip, w columns after the pass along rows; lines of B bytes; N tiles of P
pixels.
"""

from collections.abc import Callable

import numpy as np
from numba import njit, types

from kernels.pixels.weights import FRACTION_BITS

_HALF = np.int32(1 << (FRACTION_BITS - 1))
_SHIFT = np.int32(FRACTION_BITS)
_LEAST, _MOST = np.int32(0), np.int32(255)

_BYTES_2D = types.Array(types.uint8, 2, "C", readonly=True)
_WORDS_2D = types.Array(types.uint32, 2, "C", readonly=True)
_ANY_BYTES_3D = types.Array(types.uint8, 3, "A", readonly=True)
_INTS = types.Array(types.int64, 1, "C", readonly=True)
_FIXED = types.Array(types.int32, 2, "C", readonly=True)


def _compiled(*parameters: types.Type) -> Callable[[Callable], Callable]:
    """Compile for these parameters, kept on disk where some folder can be written to."""

    def compile_(function: Callable) -> Callable:
        # divisions as the processor has them, without an exception for a zero
        options = {"nogil": True, "error_model": "numpy"}
        try:
            return njit(types.void(*parameters), cache=True, **options)(function)
        except RuntimeError:
            return njit(types.void(*parameters), **options)(function)

    return compile_


@_compiled(_WORDS_2D, types.uint32[:, ::1])
def turn_words(strip_RW, turned_WR):
    """Turn a strip of words on its side."""
    for x in range(strip_RW.shape[1]):
        line, column = turned_WR[x], strip_RW[:, x]
        for y in range(strip_RW.shape[0]):
            line[y] = column[y]


@_compiled(_ANY_BYTES_3D, types.uint32[:, ::1])
def turn_colours(strip_RW3, turned_WR):
    """Turn a strip of bytes, colours last, into words on their side."""
    for x in range(strip_RW3.shape[1]):
        line = turned_WR[x]
        red, green, blue = strip_RW3[:, x, 0], strip_RW3[:, x, 1], strip_RW3[:, x, 2]
        for y in range(strip_RW3.shape[0]):
            line[y] = np.uint32(red[y]) | np.uint32(green[y]) << np.uint32(8) | np.uint32(blue[y]) << np.uint32(16)


@_compiled(_WORDS_2D, types.uint32[:, ::1])
def turn_back(turned_wR, strip_Rw):
    """Put a strip of words upright again."""
    for y in range(strip_Rw.shape[0]):
        line, column = strip_Rw[y], turned_wR[:, y]
        for x in range(strip_Rw.shape[1]):
            line[x] = column[x]


@_compiled(_BYTES_2D, _INTS, _INTS, _FIXED, types.int32[::1], types.uint8[:, ::1])
def weigh(lines, first, count, fixed, sums, out):
    """Make each line of `out` the rounded sum of lines [first, first + count) by their weights, within 0 to 255.

    lines, out: [number of lines, B]; sums: scratch of any length, of which as many bytes are summed at a time.
    """
    for left in range(0, lines.shape[1], sums.shape[0]):
        right = min(left + sums.shape[0], lines.shape[1])
        size = right - left
        total = sums[:size]
        for i in range(out.shape[0]):
            for j in range(size):
                total[j] = _HALF
            k = 0
            # four lines at a time: sums are read and written a quarter as often
            while k + 4 <= count[i]:
                at = first[i] + k
                a, b, c, d = fixed[i, k], fixed[i, k + 1], fixed[i, k + 2], fixed[i, k + 3]
                line_a, line_b = lines[at, left:right], lines[at + 1, left:right]
                line_c, line_d = lines[at + 2, left:right], lines[at + 3, left:right]
                for j in range(size):
                    total[j] = np.int32(
                        total[j]
                        + np.int32(np.int32(line_a[j]) * a)
                        + np.int32(np.int32(line_b[j]) * b)
                        + np.int32(np.int32(line_c[j]) * c)
                        + np.int32(np.int32(line_d[j]) * d)
                    )
                k += 4
            while k < count[i]:
                weight, line = fixed[i, k], lines[first[i] + k, left:right]
                for j in range(size):
                    total[j] = np.int32(total[j] + np.int32(np.int32(line[j]) * weight))
                k += 1
            result = out[i, left:right]
            for j in range(size):
                result[j] = np.uint8(min(max(np.int32(total[j] >> _SHIFT), _LEAST), _MOST))


@_compiled(_WORDS_2D, types.uint8[:, :, ::1], types.int64)
def split(words_RW, planes_3HW, top):
    """Take the colours of some rows of words apart, into rows `top` and following of the planes."""
    for y in range(words_RW.shape[0]):
        line = words_RW[y]
        red, green, blue = planes_3HW[0, top + y], planes_3HW[1, top + y], planes_3HW[2, top + y]
        for x in range(words_RW.shape[1]):
            word = line[x]
            red[x], green[x], blue[x] = np.uint8(word), np.uint8(word >> np.uint32(8)), np.uint8(word >> np.uint32(16))


@_compiled(
    types.Array(types.uint8, 3, "C", readonly=True),
    types.Array(types.float32, 1, "C", readonly=True),
    types.Array(types.float32, 1, "C", readonly=True),
    types.float32[:, :, ::1],
)
def normalise(tiles_N3P, mean_3, std_3, out_N3P):
    """Make (v / 255 - mean) / std of each value, every step rounded to float32."""
    full = np.float32(255)
    for n in range(tiles_N3P.shape[0]):
        for c in range(3):
            plane, out, mean, std = tiles_N3P[n, c], out_N3P[n, c], mean_3[c], std_3[c]
            for i in range(plane.shape[0]):
                out[i] = (np.float32(plane[i]) / full - mean) / std
