"""Draw one item (a shape, a printed word or number, a bar) into an RGB array; masks are cached.

An item's mask is grey-scale ink coverage; colour is applied when it is pasted.  Fonts: Pillow's built-in Aileron and
fonts that matplotlib carries in its package data, so no system font is needed.
"""

from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anyres.geometry import Box

# name -> file in matplotlib's package data; "" is Pillow's built-in font
FONTS: dict[str, str] = {
    "aileron": "",
    "serif": "DejaVuSerif.ttf",
    "sans": "DejaVuSans.ttf",
    "times": "STIXGeneralBol.ttf",
}
TRAIN_FONTS = ("aileron", "aileron", "serif", "times")
HELD_OUT_FONT = "sans"
_SUPERSAMPLE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One drawn thing: its kind ("shape", "word", "number", "bar"), name, colour word and ink box in pixels."""

    kind: str
    name: str
    color: str
    box: Box


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    if name not in FONTS:
        raise ValueError(f"font {name!r}: expected one of {sorted(FONTS)}")
    if not FONTS[name]:
        return ImageFont.load_default(px)
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONTS[name]), px)


@cache
def text_mask(text: str, font: str, px: int) -> np.ndarray:
    """Return the ink coverage [h, w] in 0..1 of `text`, cropped to its ink; `px` is the font size."""
    face = _font(font, px)
    left, top, right, bottom = face.getbbox(text)
    canvas = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), text, fill=255, font=face)
    box = canvas.getbbox()
    return np.asarray(canvas.crop(box), dtype=np.float32) / 255.0


@cache
def shape_mask(name: str, px: int) -> np.ndarray:
    """Return the ink coverage [px, px] in 0..1 of a shape that fills a square of `px` pixels."""
    side = px * _SUPERSAMPLE
    canvas = Image.new("L", (side, side))
    draw, last = ImageDraw.Draw(canvas), side - 1
    if name == "circle":
        draw.ellipse((0, 0, last, last), fill=255)
    elif name == "ring":
        draw.ellipse((0, 0, last, last), fill=255)
        draw.ellipse((side * 0.27, side * 0.27, side * 0.73, side * 0.73), fill=0)
    elif name == "moon":
        draw.ellipse((0, 0, last, last), fill=255)
        draw.ellipse((side * 0.35, -side * 0.1, side * 1.25, side * 0.8), fill=0)
    elif name == "heart":
        draw.ellipse((0, side * 0.02, side * 0.54, side * 0.56), fill=255)
        draw.ellipse((side * 0.46, side * 0.02, last, side * 0.56), fill=255)
        draw.polygon([(side * 0.05, side * 0.42), (side * 0.95, side * 0.42), (side * 0.5, last)], fill=255)
    else:
        draw.polygon([(x * last, y * last) for x, y in _OUTLINES[name]], fill=255)
    return np.asarray(canvas.resize((px, px), Image.Resampling.BOX), dtype=np.float32) / 255.0


def _star() -> list[tuple[float, float]]:
    radii = [0.53 if k % 2 == 0 else 0.21 for k in range(10)]
    return [(0.5 + r * sin(k * pi / 5), 0.53 - r * cos(k * pi / 5)) for k, r in enumerate(radii)]


_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)],
    "triangle": [(0.5, 0.02), (1, 0.95), (0, 0.95)],
    "diamond": [(0.5, 0), (0.9, 0.5), (0.5, 1), (0.1, 0.5)],
    "cross": [
        (0.34, 0),
        (0.66, 0),
        (0.66, 0.34),
        (1, 0.34),
        (1, 0.66),
        (0.66, 0.66),
        (0.66, 1),
        (0.34, 1),
        (0.34, 0.66),
        (0, 0.66),
        (0, 0.34),
        (0.34, 0.34),
    ],
    "arrow": [(0, 0.35), (0.5, 0.35), (0.5, 0.08), (1, 0.5), (0.5, 0.92), (0.5, 0.65), (0, 0.65)],
    "star": _star(),
}


def paste(image_HW3: np.ndarray, mask: np.ndarray, y: int, x: int, rgb: tuple[int, int, int]) -> Box:
    """Blend `rgb` into the float image through `mask` at (y, x) and return the ink box; the mask must fit."""
    h, w = mask.shape
    if y < 0 or x < 0 or y + h > image_HW3.shape[0] or x + w > image_HW3.shape[1]:
        raise ValueError(f"mask {h}x{w} at ({y}, {x}) does not fit an image of {image_HW3.shape[:2]}")
    region = image_HW3[y : y + h, x : x + w]
    region += mask[:, :, None] * (np.asarray(rgb, dtype=np.float32) - region)
    return Box(y, x, h, w)
