"""Test pictures that carry a number: twelve bits, their complement below, four colours in the lower half.

A machine can tell from one which frame it is, whether it was turned, and whether it was damaged.
"""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

BITS = 12
COLOURS = np.array([(224, 32, 32), (32, 200, 32), (32, 32, 224), (224, 216, 32)])
# black and white of coded video
DARK, LIGHT = 16, 235
# below these a bit, or above these a colour, is not believed
LEAST_CONTRAST, MOST_COLOUR_ERROR = 60.0, 110.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a picture says. number: None where it cannot be read. turned: quarter turns counter-clockwise to undo."""

    number: int | None
    turned: int
    colour_error: float


def draw(number: int, height: int = 64, width: int = 96) -> ndarray:
    """Return the picture [height, width, 3], uint8, of a number below 4096."""
    picture_HWC = np.full((height, width, 3), 112, np.uint8)
    quarter = height // 4
    edges = [round(bit * width / BITS) for bit in range(BITS + 1)]
    for bit in range(BITS):
        on = number >> (BITS - 1 - bit) & 1
        columns = slice(edges[bit], edges[bit + 1])
        picture_HWC[:quarter, columns] = LIGHT if on else DARK
        picture_HWC[quarter : 2 * quarter, columns] = DARK if on else LIGHT
    edges = [round(part * width / 4) for part in range(5)]
    for part, colour in enumerate(COLOURS):
        picture_HWC[2 * quarter :, edges[part] : edges[part + 1]] = colour
    return picture_HWC


def read(picture_HWC: ndarray, grey: bool = False) -> Reading:
    """Return what a picture says, trying all four ways to hold it; grey: its colours do not count."""
    best: tuple[float, Reading] | None = None
    for turns in range(4):
        held = np.rot90(picture_HWC, k=turns)
        if held.shape[0] < 8 or held.shape[1] < 24:
            continue
        number, contrast = _bits(held)
        error = 0.0 if grey else _colour_error(held)
        good = contrast > LEAST_CONTRAST and error < MOST_COLOUR_ERROR
        reading = Reading(number=number if good else None, turned=turns, colour_error=error)
        if good and turns == 0:
            return reading
        score = (1e6 if good else 0.0) + contrast - error
        if best is None or score > best[0]:
            best = score, reading
    return best[1] if best else Reading(number=None, turned=0, colour_error=255.0)


def _bits(held_HWC: ndarray) -> tuple[int, float]:
    """Return the number and the contrast of its weakest bit."""
    grey_HW = held_HWC.astype(np.float32).mean(-1)
    height, width = grey_HW.shape
    quarter = height // 4
    top, bottom = quarter // 4, max(quarter // 4 + 1, -(-quarter * 3 // 4))
    number, contrast = 0, float("inf")
    for bit in range(BITS):
        left = int((bit + 0.25) * width / BITS)
        right = max(left + 1, int((bit + 0.75) * width / BITS + 0.999))
        upper = grey_HW[top:bottom, left:right].mean()
        difference = float(upper - grey_HW[quarter + top : quarter + bottom, left:right].mean())
        contrast = min(contrast, abs(difference))
        number = number << 1 | (difference > 0)
    return number, contrast


def _colour_error(held_HWC: ndarray) -> float:
    """Return the largest difference of a channel's mean to the four colours."""
    height, width = held_HWC.shape[:2]
    worst = 0.0
    for part, colour in enumerate(COLOURS):
        left = int((part + 0.3) * width / 4)
        right = max(left + 1, int((part + 0.7) * width / 4))
        rows = slice(int(height * 0.65), max(int(height * 0.65) + 1, int(height * 0.9)))
        mean = held_HWC[rows, left:right].reshape(-1, held_HWC.shape[-1]).mean(0)
        worst = max(worst, float(np.abs(mean - colour).max()))
    return worst
