"""Padding removal: which tokens of a detail canvas show the image."""

from anyres.geometry import HW, Box
from anyres.grid import Order


def unpad(image: HW, canvas_tok: HW, rounding: Order = "released") -> Box:
    """Return the crop of a canvas, in tokens, that holds the image (released formula, from the ideal token scale).

    Only one side is cropped, by the same amount at both ends, so the kept side has the parity of the full one. Very
    thin images may keep no token at all.
    """
    if image.w / image.h > canvas_tok.w / canvas_tok.h:
        kept = _truncate(image.h * (canvas_tok.w / image.w), rounding)
        pad = (canvas_tok.h - kept) // 2
        return Box(pad, 0, canvas_tok.h - 2 * pad, canvas_tok.w)
    kept = _truncate(image.w * (canvas_tok.h / image.h), rounding)
    pad = (canvas_tok.w - kept) // 2
    return Box(0, pad, canvas_tok.h, canvas_tok.w - 2 * pad)


def keep_one(crop: Box, canvas_tok: HW) -> Box:
    """Return the crop, widened to the middle of the canvas where it held no row or no column.

    An even canvas keeps its two middle rows (or columns), so that the crop stays centred.
    """
    y, h = _widen(crop.y, crop.h, canvas_tok.h)
    x, w = _widen(crop.x, crop.w, canvas_tok.w)
    return Box(y, x, h, w)


def _widen(start: int, length: int, full: int) -> tuple[int, int]:
    if length > 0:
        return start, length
    length = 2 if full % 2 == 0 else 1
    return (full - length) // 2, length


def _truncate(value: float, rounding: Order) -> int:
    return int(value) if rounding == "released" else int(round(value, 7))
