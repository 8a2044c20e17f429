"""The weights of PIL's antialiased bicubic: doubles, normalised, then rounded to fixed point.

Source: R. Keys, Cubic convolution interpolation for digital image processing (1981), with a = -0.5 as Pillow has it,
stretched by the scale where a side gets shorter. The arithmetic follows Pillow's operation by operation, since a weight
that rounds otherwise shows in the pixels.

Legend: n pixels of a side before, m after, K weights of the widest window.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# an 8-bit value times a weight of this many bits, summed, and room for overshoot fit 32 bits
FRACTION_BITS = 22
_KEYS_A = -0.5


class Taps(NamedTuple):
    """Of which pixels each pixel of a side is made: pixels first[i] to first[i] + count[i] - 1, by weights fixed[i].

    first, count: int64 [m]; fixed: int32 [m, K], in units of 2^-22, 0 behind the last weight.
    """

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    fixed: NDArray[np.int32]


@lru_cache(maxsize=512)
def taps(before: int, after: int) -> Taps:
    """Return the weights with which a side of `before` pixels becomes one of `after`. Both at least 1."""
    scale = before / after
    stretch = max(scale, 1.0)
    reach = 2.0 * stretch
    centre_m = (np.arange(after) + 0.5) * scale
    first_m = np.maximum((centre_m - reach + 0.5).astype(np.int64), 0)
    count_m = np.minimum((centre_m + reach + 0.5).astype(np.int64), before) - first_m
    number_K = np.arange(int(np.ceil(reach)) * 2 + 1)
    inside_mK = number_K < count_m[:, None]
    distance_mK = np.abs((number_K + first_m[:, None] - centre_m[:, None] + 0.5) * (1.0 / stretch))
    weight_mK = np.where(inside_mK, _keys(distance_mK), 0.0)
    # one after the other, as Pillow sums them: another order rounds otherwise
    total_m1 = np.cumsum(weight_mK, axis=1)[:, -1:]
    weight_mK = np.divide(weight_mK, total_m1, out=weight_mK, where=total_m1 != 0)
    half_mK = np.where(weight_mK < 0, -0.5, 0.5)
    fixed_mK = np.where(inside_mK, half_mK + weight_mK * (1 << FRACTION_BITS), 0.0).astype(np.int32)
    for array in (first_m, count_m, fixed_mK):
        array.flags.writeable = False
    return Taps(first_m, count_m, fixed_mK)


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = _KEYS_A, distance
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
