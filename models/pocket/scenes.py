"""Scenes of the pocket world: deterministic drawings with the box, name and colour of everything in them.

A page is 168 x 168 px on a raster of 28 px cells.  An item lies inside one cell, so no item is cut by a tile border at
1x1, 2x2 or 3x3 (borders at 56, 84 and 112 px): the ablation measures resolution, not cutting.  A frame is 56 x 56 px
with one item; a strip is a column of frames.  Backgrounds are light; that is a stated limit of this world.
"""

from dataclasses import dataclass
from random import Random

import numpy as np

from anyres.geometry import Box
from models.pocket.items import Item, paste, shape_mask, text_mask
from models.pocket.words import BAR, COLORS, KIND_OF, LEXICON, NUMBERS, SHAPES

CELL_PX = 28
PAGE_CELLS = 6
PAGE_PX = CELL_PX * PAGE_CELLS
FRAME_PX = 56
_NAMES = {"shape": SHAPES, "word": LEXICON, "number": NUMBERS}
_COLOR_NAMES = tuple(COLORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One drawing: pixels [h, w, 3] uint8, its items in reading order and the layout kind.

    kind: "page", "corner", "odd", "count", "chart", "list", "strip". focus: the name a question is about, where one is.
    """

    pixels_HW3: np.ndarray
    items: tuple[Item, ...]
    kind: str
    focus: str = ""


def background(rng: Random, h: int, w: int) -> np.ndarray:
    """Return a light plain float32 image [h, w, 3]."""
    level = rng.uniform(232, 255)
    tint = [min(255.0, level + rng.uniform(-6, 6)) for _ in range(3)]
    image = np.empty((h, w, 3), dtype=np.float32)
    image[:] = tint
    return image


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bounds, in pixels, of a shape's side and of a text's font size."""

    shape: tuple[int, int]
    text: tuple[int, int]

    def times(self, scale: int) -> "Sizes":
        """Return the bounds of a drawing that is `scale` times larger."""
        (a, b), (c, d) = self.shape, self.text
        return Sizes(shape=(a * scale, b * scale), text=(c * scale, d * scale))


# on a page, text is legible at 3x3, mostly at 2x2, and not at 1x1
PAGE_SIZES = Sizes(shape=(13, 20), text=(10, 13))
FRAME_SIZES = Sizes(shape=(16, 28), text=(12, 14))


def draw_item(image: np.ndarray, rng: Random, name: str, color: str, area: Box, font: str, sizes: Sizes) -> Item:
    """Draw `name` at a random place inside `area` and return it."""
    kind = KIND_OF[name]
    if kind == "shape":
        mask = shape_mask(name, min(rng.randint(*sizes.shape), area.h, area.w))
    else:
        px = rng.randint(*sizes.text)
        mask = text_mask(name, font, px)
        while mask.shape[0] > area.h or mask.shape[1] > area.w:
            px -= 1
            mask = text_mask(name, font, px)
    y = area.y + rng.randint(0, area.h - mask.shape[0])
    x = area.x + rng.randint(0, area.w - mask.shape[1])
    return Item(kind=kind, name=name, color=color, box=paste(image, mask, y, x, COLORS[color]))


def cell_area(row: int, col: int, margin: int = 1) -> Box:
    """Return the box of a raster cell, `margin` px inside its border."""
    return Box(row * CELL_PX + margin, col * CELL_PX + margin, CELL_PX - 2 * margin, CELL_PX - 2 * margin)


def pick_names(rng: Random, count: int, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return `count` (name, colour) pairs: names all different, and no kind has a colour twice."""
    chosen: list[tuple[str, str]] = []
    names: set[str] = set()
    used: set[tuple[str, str]] = set()
    while len(chosen) < count:
        kind = rng.choice(kinds)
        name, color = rng.choice(_NAMES[kind]), rng.choice(_COLOR_NAMES)
        if name in names or (kind, color) in used:
            continue
        names.add(name)
        used.add((kind, color))
        chosen.append((name, color))
    return chosen


def page(rng: Random, font: str, count: int | None = None) -> Scene:
    """Return a page of 4 to 8 shapes, words and numbers in random cells."""
    image = background(rng, PAGE_PX, PAGE_PX)
    pairs = pick_names(rng, count or rng.randint(4, 8), ("shape", "word", "number", "word", "number"))
    cells = rng.sample(range(PAGE_CELLS**2), len(pairs))
    items = [
        draw_item(image, rng, name, color, cell_area(*divmod(cell, PAGE_CELLS)), font, PAGE_SIZES)
        for cell, (name, color) in zip(sorted(cells), pairs, strict=True)
    ]
    return _finish(image, items, "page")


def corner(rng: Random, font: str) -> Scene:
    """Return a 56 px part of a page, 2 x 2 cells, with 2 to 4 items: one tile, the shortest sequence to learn from."""
    image = background(rng, FRAME_PX, FRAME_PX)
    pairs = pick_names(rng, rng.randint(2, 4), ("shape", "word", "number"))
    items = [
        draw_item(image, rng, name, color, cell_area(*divmod(cell, 2)), font, PAGE_SIZES)
        for cell, (name, color) in zip(sorted(rng.sample(range(4), len(pairs))), pairs, strict=True)
    ]
    return _finish(image, items, "corner")


def odd(rng: Random, font: str) -> Scene:
    """Return a page of 4 to 7 shapes, all alike but one."""
    image = background(rng, PAGE_PX, PAGE_PX)
    common, other = rng.sample(SHAPES, 2)
    names = [other] + [common] * rng.randint(3, 6)
    cells = rng.sample(range(PAGE_CELLS**2), len(names))
    colors = [rng.choice(_COLOR_NAMES) for _ in names]
    items = [
        draw_item(image, rng, name, color, cell_area(*divmod(cell, PAGE_CELLS)), font, PAGE_SIZES)
        for cell, name, color in zip(cells, names, colors, strict=True)
    ]
    return _finish(image, items, "odd", focus=other)


def counting(rng: Random, font: str) -> Scene:
    """Return a page with 1 to 5 of one shape and 0 to 3 of another."""
    image = background(rng, PAGE_PX, PAGE_PX)
    counted, other = rng.sample(SHAPES, 2)
    names = [counted] * rng.randint(1, 5) + [other] * rng.randint(0, 3)
    cells = rng.sample(range(PAGE_CELLS**2), len(names))
    items = [
        draw_item(image, rng, name, rng.choice(_COLOR_NAMES), cell_area(*divmod(cell, PAGE_CELLS)), font, PAGE_SIZES)
        for cell, name in zip(cells, names, strict=True)
    ]
    return _finish(image, items, "count", focus=counted)


def chart(rng: Random, font: str) -> Scene:
    """Return a bar chart of 3 to 6 bars, each with its value printed above it in its colour."""
    image = background(rng, PAGE_PX, PAGE_PX)
    count = rng.randint(3, 6)
    values, colors = rng.sample(NUMBERS, count), rng.sample(_COLOR_NAMES, count)
    columns = sorted(rng.sample(range(PAGE_CELLS), count))
    scale = rng.uniform(0.8, 1.2)
    items = []
    for value, color, column in zip(values, colors, columns, strict=True):
        # bars start at the raster so that a printed value stays in its own cell
        top = PAGE_PX - CELL_PX * max(1, min(5, round(int(value) * scale / 20)))
        label = cell_area(top // CELL_PX - 1, column)
        items.append(draw_item(image, rng, value, color, label, font, PAGE_SIZES))
        mask = np.ones((PAGE_PX - top - 4, 16), dtype=np.float32)
        box = paste(image, mask, top, column * CELL_PX + 6, COLORS[color])
        items.append(Item(kind="bar", name=BAR, color=color, box=box))
    return _finish(image, items, "chart")


def listing(rng: Random, font: str) -> Scene:
    """Return a page with a list of 3 to 6 items, one a line, from top to bottom."""
    image = background(rng, PAGE_PX, PAGE_PX)
    pairs = pick_names(rng, rng.randint(3, 6), ("shape", "word", "word", "number"))
    column = rng.randint(0, PAGE_CELLS - 1)
    rows = sorted(rng.sample(range(PAGE_CELLS), len(pairs)))
    items = [
        draw_item(image, rng, name, color, cell_area(row, column), font, PAGE_SIZES)
        for row, (name, color) in zip(rows, pairs, strict=True)
    ]
    return _finish(image, items, "list")


def strip(rng: Random, font: str, frames: int, scale: int = 1) -> Scene:
    """Return a strip: `frames` frames of 56 px * scale, one under the other, each with one item of its own."""
    side = FRAME_PX * scale
    image = background(rng, side * frames, side)
    pairs = pick_names(rng, frames, ("shape", "word", "number"))
    items = [
        draw_item(image, rng, name, color, Box(index * side + 2, 2, side - 4, side - 4), font, FRAME_SIZES.times(scale))
        for index, (name, color) in enumerate(pairs)
    ]
    return _finish(image, items, "strip")


def _finish(image: np.ndarray, items: list[Item], kind: str, focus: str = "") -> Scene:
    return Scene(pixels_HW3=np.rint(image).astype(np.uint8), items=tuple(items), kind=kind, focus=focus)
