"""Single tiles with a label for every patch: which content word and which colour word it shows.

The views are those of the grids: a tile of 3x3 sees 56 px of a page at full size, a tile of 2x2 sees 84 px shrunk to
56, an overview all 168 px; and a frame of a strip.  Boxes come from the generator, so labels are free.

Legend: N tiles, P patches of a tile, V content words, K colours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from anyres.geometry import Box
from models.pocket.eye import OWN, PATCH_PX
from models.pocket.items import TRAIN_FONTS, Item
from models.pocket.scenes import (
    CELL_PX,
    FRAME_PX,
    PAGE_SIZES,
    background,
    cell_area,
    chart,
    draw_item,
    pick_names,
    strip,
)
from models.pocket.words import COLORS, CONTENT

SIDE_TOK = OWN.tile.tok
_CONTENT_AT = {name: index for index, name in enumerate(CONTENT)}
_COLOR_AT = {name: index for index, name in enumerate(COLORS)}
# (cells a side, share of cells filled) of a tile of 3x3, of 2x2 and of an overview
_VIEWS = ((2, 0.6), (3, 0.4), (6, 0.2))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTiles:
    """pixels [N, 56, 56, 3] uint8; content [N, P, V] and color [N, P, K] float32: shares of a patch, rows sum to 1
    (color rows are all zero where a patch shows nothing)."""

    pixels_NHWC: np.ndarray
    content_NPV: np.ndarray
    color_NPK: np.ndarray


def labelled_tiles(rng: Random, count: int) -> LabelledTiles:
    """Return `count` labelled tiles of mixed views."""
    pixels = np.empty((count, FRAME_PX, FRAME_PX, 3), dtype=np.uint8)
    content = np.zeros((count, SIDE_TOK**2, len(CONTENT)), dtype=np.float32)
    color = np.zeros((count, SIDE_TOK**2, len(COLORS)), dtype=np.float32)
    for index in range(count):
        image, items = _view(rng)
        label(content[index], color[index], items, image.shape[0] / FRAME_PX)
        pixels[index] = shrink(image)
    return LabelledTiles(pixels_NHWC=pixels, content_NPV=content, color_NPK=color)


def plain_tiles(rng: Random, count: int, tile_px: int) -> np.ndarray:
    """Return `count` tiles of mixed views without labels: uint8 [N, tile_px, tile_px, 3]."""
    return np.stack([shrink(_view(rng)[0], tile_px) for _ in range(count)])


def shrink(image_HW3: np.ndarray, tile_px: int = FRAME_PX) -> np.ndarray:
    """Return a square uint8 image resized to one tile."""
    if image_HW3.shape[0] == tile_px:
        return image_HW3
    return np.asarray(Image.fromarray(image_HW3).resize((tile_px, tile_px), Image.Resampling.BICUBIC))


def label(content_PV: np.ndarray, color_PK: np.ndarray, items: list[Item], scale: float) -> None:
    """Fill the labels of one tile whose image was `scale` times larger than the tile."""
    patch_px = PATCH_PX * scale
    for item in items:
        # a patch shows an item when it holds a quarter of the item, or the item a quarter of it
        enough = 0.25 * min(item.box.h * item.box.w, patch_px * patch_px)
        for patch, area in _overlaps(item.box, patch_px):
            if area >= enough:
                content_PV[patch, _CONTENT_AT[item.name]] += area
                color_PK[patch, _COLOR_AT[item.color]] += area
    empty = content_PV.sum(-1) == 0
    content_PV[empty, 0] = 1.0
    content_PV /= content_PV.sum(-1, keepdims=True)
    color_PK /= np.maximum(color_PK.sum(-1, keepdims=True), 1e-6)


def _overlaps(box: Box, patch_px: float) -> Iterator[tuple[int, float]]:
    """Yield the patches of a tile that a box meets, each with the area that they share."""
    for row in range(max(0, int(box.y / patch_px)), min(SIDE_TOK, int((box.y + box.h) / patch_px) + 1)):
        high = min(box.y + box.h, (row + 1) * patch_px) - max(box.y, row * patch_px)
        for col in range(max(0, int(box.x / patch_px)), min(SIDE_TOK, int((box.x + box.w) / patch_px) + 1)):
            wide = min(box.x + box.w, (col + 1) * patch_px) - max(box.x, col * patch_px)
            if high > 0 and wide > 0:
                yield row * SIDE_TOK + col, high * wide


def _view(rng: Random) -> tuple[np.ndarray, list[Item]]:
    draw, font = rng.random(), rng.choice(TRAIN_FONTS)
    if draw < 0.24:
        scene = strip(rng, font, 1, scale=rng.choice((1, 4)))
        return scene.pixels_HW3, list(scene.items)
    if draw < 0.30:
        return _chart_part(rng, font)
    cells, filled = _VIEWS[0] if draw < 0.60 else _VIEWS[1] if draw < 0.95 else _VIEWS[2]
    image = background(rng, cells * CELL_PX, cells * CELL_PX)
    items = []
    for row in range(cells):
        for col in range(cells):
            if rng.random() < filled:
                ((name, color),) = pick_names(rng, 1, ("shape", "word", "number", "word", "number"))
                items.append(draw_item(image, rng, name, color, cell_area(row, col), font, PAGE_SIZES))
    return np.rint(image).astype(np.uint8), items


def _chart_part(rng: Random, font: str) -> tuple[np.ndarray, list[Item]]:
    """Return a tile-sized or 2x2-tile-sized part of a bar chart, with its items cut to the part."""
    scene, side = chart(rng, font), rng.choice((56, 84))
    y, x = (side * rng.randrange(168 // side) for _ in range(2))
    items = []
    for item in scene.items:
        top, left = max(item.box.y, y), max(item.box.x, x)
        h, w = min(item.box.y + item.box.h, y + side) - top, min(item.box.x + item.box.w, x + side) - left
        if h > 0 and w > 0:
            items.append(Item(kind=item.kind, name=item.name, color=item.color, box=Box(top - y, left - x, h, w)))
    return scene.pixels_HW3[y : y + side, x : x + side], items
