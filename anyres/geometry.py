"""Sizes and boxes of integers, always (h, w): the one place where PIL's (w, h) order is undone."""

from typing import NamedTuple


class HW(NamedTuple):
    """A size: height first, then width. The unit (pixels, tokens, tiles) is in the name of the variable."""

    h: int
    w: int

    @property
    def area(self) -> int:
        """Return h * w."""
        return self.h * self.w

    @property
    def transposed(self) -> "HW":
        """Return the size with height and width exchanged."""
        return HW(self.w, self.h)

    def times(self, factor: int) -> "HW":
        """Return the size with both sides multiplied by an int."""
        return HW(self.h * factor, self.w * factor)


class Box(NamedTuple):
    """A rectangle: its top left corner (y, x) and its size (h, w)."""

    y: int
    x: int
    h: int
    w: int

    @property
    def size(self) -> HW:
        """Return the box's size."""
        return HW(self.h, self.w)

    def inside(self, outer: HW) -> bool:
        """Tell whether the box lies within a canvas of size `outer`."""
        return self.y >= 0 and self.x >= 0 and self.y + self.h <= outer.h and self.x + self.w <= outer.w
