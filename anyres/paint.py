"""A sheet to draw plans on: text, chips, token grids, hatching. Coordinates are sheet pixels, x right, y down."""

from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from anyres.geometry import HW

Colour = tuple[int, int, int] | tuple[int, int, int, int]

PAPER: Colour = (250, 250, 247)
INK: Colour = (24, 33, 47)
SOFT: Colour = (104, 116, 133)
TILE: Colour = (29, 95, 214)
LIGHT: Colour = (255, 255, 255, 120)
DARK: Colour = (10, 20, 40, 70)
ROW_END: Colour = (240, 112, 32)
PADDING: Colour = (226, 230, 235)
HATCH: Colour = (158, 168, 182)
CHIP: Colour = (234, 238, 245)

# everything is drawn at twice the size and reduced once, which smooths lines and text
_OVER = 2


class Area(NamedTuple):
    """A rectangle on the sheet; its edges may lie between pixels."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """Return the x of the right edge."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """Return the y of the lower edge."""
        return self.y + self.h


class Sheet:
    """A picture in the making, `width` x `height` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _OVER, height * _OVER), PAPER)
        self._pen = ImageDraw.Draw(self._image, "RGBA")

    def finished(self) -> Image.Image:
        """Return the picture at its own size."""
        return self._image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def picture(self, image: Image.Image, area: Area) -> None:
        """Stretch an RGB image over an area."""
        left, top, right, bottom = _corners(area)
        scaled = image.resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC)
        self._image.paste(scaled, (left, top))

    def fill(self, area: Area, colour: Colour) -> None:
        """Fill an area."""
        left, top, right, bottom = _corners(area)
        if right > left and bottom > top:
            self._pen.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def frame(self, area: Area, colour: Colour, width: float) -> None:
        """Draw the outline of an area, centred on its edge."""
        half = width / 2
        self.fill(Area(area.x - half, area.y - half, area.w + width, width), colour)
        self.fill(Area(area.x - half, area.bottom - half, area.w + width, width), colour)
        self.fill(Area(area.x - half, area.y - half, width, area.h + width), colour)
        self.fill(Area(area.right - half, area.y - half, width, area.h + width), colour)

    def hatch(self, area: Area, step: float = 9) -> None:
        """Cover an area with the shading of removed padding."""
        left, top, right, bottom = _corners(area)
        if right <= left or bottom <= top:
            return
        patch = Image.new("RGB", (right - left, bottom - top), PADDING)
        pen = ImageDraw.Draw(patch)
        for start in range(-patch.height, patch.width, round(step * _OVER)):
            # the phase follows the sheet, so that neighbouring areas join up
            x = start - (left + top) % round(step * _OVER)
            pen.line((x, patch.height, x + patch.height, 0), fill=HATCH, width=_OVER)
        self._image.paste(patch, (left, top))

    def grid(self, area: Area, cells: HW) -> None:
        """Draw the lines between rows and columns of cells that share an area: a light one beside a dark one."""
        left, top, right, bottom = _corners(area)
        for row in range(1, cells.h):
            y = round(top + row * (bottom - top) / cells.h)
            self._pen.line((left, y, right - 1, y), fill=LIGHT)
            self._pen.line((left, y + 1, right - 1, y + 1), fill=DARK)
        for col in range(1, cells.w):
            x = round(left + col * (right - left) / cells.w)
            self._pen.line((x, top, x, bottom - 1), fill=LIGHT)
            self._pen.line((x + 1, top, x + 1, bottom - 1), fill=DARK)

    def text(self, x: float, y: float, words: str, size: float, colour: Colour = INK, anchor: str = "la") -> float:
        """Write words at a point and return their width."""
        font = _font(size)
        self._pen.text((x * _OVER, y * _OVER), words, font=font, fill=colour, anchor=anchor)
        return font.getlength(words) / _OVER

    def chip(self, x: float, y: float, words: str, size: float, ground: Colour = CHIP, colour: Colour = INK) -> float:
        """Write words on a rounded ground with its upper left corner at a point, and return its width."""
        width = _font(size).getlength(words) / _OVER + size
        corners = (x * _OVER, y * _OVER, (x + width) * _OVER, (y + 1.7 * size) * _OVER)
        self._pen.rounded_rectangle(corners, radius=0.45 * size * _OVER, fill=ground)
        self.text(x + size / 2, y + 0.85 * size, words, size, colour, anchor="lm")
        return width


def _corners(area: Area) -> tuple[int, int, int, int]:
    return (
        round(area.x * _OVER),
        round(area.y * _OVER),
        round(area.right * _OVER),
        round(area.bottom * _OVER),
    )


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * _OVER)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType: no scalable text"
    return font
