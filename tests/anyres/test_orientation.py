"""Rows and columns are never swapped, from pixels to packed tokens: each kept token shows the pixels at its own place.

The picture's red channel is its y, its green channel its x. The "encoder" is the mean colour of a patch, so a packed
token says which place it saw, and a plan says which place it should see. Each step is then mutated, and the check must
notice.

Legend: N tiles, P patches, C colours, T tokens.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from einops import rearrange, reduce
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import anyres.lower
import anyres.pixels
from anyres import HW, Canvas, GridSpec, Segment, TileSpec, VisualPlan, choose_layout, plan_image
from anyres.grid import content_box
from anyres.lower import lower
from anyres.pixels import render
from anyres.unpad import unpad
from kernels.pack.reference import pack_reference
from kernels.pack.table import Column

TILE = TileSpec(px=24, tok=6)
LAYOUTS = tuple(HW(h, w) for h, w in [(1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2)])
ROW_END = -9.0
IMAGES = [HW(60, 90), HW(90, 60), HW(30, 100), HW(100, 30), HW(48, 48), HW(20, 31)]


def place_picture(image: HW) -> Image.Image:
    y_HW, x_HW = np.mgrid[: image.h, : image.w]
    red, green = 255 * (y_HW + 0.5) / image.h, 255 * (x_HW + 0.5) / image.w
    return Image.fromarray(np.stack([red, green, 0 * red], axis=-1).round().astype(np.uint8))


def seen(image: HW, plan: VisualPlan) -> Tensor:
    """Return for each packed token the (y, x) that it saw, as fractions of the image; ROW_END at row ends."""
    pixels_NCHW = render(plan, [place_picture(image)], mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    patch_px = plan.tile.px // plan.tile.tok
    features_NCHW = reduce(pixels_NCHW, "n c (h a) (w b) -> n c h w", "mean", a=patch_px, b=patch_px)
    features_NPD = rearrange(features_NCHW, "n c h w -> n (h w) c")[..., :2]
    return pack_reference(features_NPD, torch.full((1, 2), ROW_END), lower([plan]))


def expected(image: HW, plan: VisualPlan) -> Tensor:
    """Return the (y, x) that each token should show, from the plan's geometry alone."""
    places: list[tuple[float, float]] = []
    for segment in plan.segments:
        box = plan.canvases[segment.canvas].content_px
        patch_px = plan.tile.px / plan.tile.tok
        for row in range(segment.out.h):
            y = segment.crop_tok.y + (row + 0.5) * segment.crop_tok.h / segment.out.h
            for col in range(segment.out.w):
                x = segment.crop_tok.x + (col + 0.5) * segment.crop_tok.w / segment.out.w
                places.append(((y * patch_px - box.y) / box.h, (x * patch_px - box.x) / box.w))
            if segment.end == "row":
                places.append((ROW_END, ROW_END))
    return torch.tensor(places)


def complaints(image: HW, grid: GridSpec) -> list[str]:
    """Return what is wrong with the plan of an image and with the tokens that come out of it; empty when nothing is."""
    plan = plan_image(image, grid, TILE)
    layout, content = plan.canvases[1].tiles, plan.canvases[1].content_px
    found = []
    if (layout.w > layout.h) != (image.w > image.h) and layout.w != layout.h:
        found.append(f"grid {layout} for an image of {image}")
    if abs(content.w / content.h / (image.w / image.h) - 1) > 0.15:
        found.append(f"content {content} for an image of {image}")
    found_TD, wanted_TD = seen(image, plan), expected(image, plan)
    # the overview always shows everything
    detail_TD = wanted_TD[sum(segment.num_tokens for segment in plan.segments if segment.canvas == 0) :]
    places_TD = detail_TD[detail_TD[:, 0] != ROW_END]
    low, high = places_TD.amin(0), places_TD.amax(0)
    if grid.merge == "spatial_unpad" and grid.rule == "released" and ((low < -0.1) | (high > 1.1)).any():
        found.append(f"padding kept: places from {low.tolist()} to {high.tolist()}")
    if (low > 0.2).any() or (high < 0.8).any():
        found.append(f"image cut off: places from {low.tolist()} to {high.tolist()}")
    # border tokens are partly padding, and resampling clamps at the crop's edge
    inner_T = ((wanted_TD > 0.15) & (wanted_TD < 0.85) | (wanted_TD == ROW_END)).all(1)
    wrong = int(((found_TD - wanted_TD).abs() > 0.06).any(1)[inner_T].sum())
    return found + ([f"{wrong} of {int(inner_T.sum())} tokens show another place"] if wrong else [])


GRIDS = {
    "released": GridSpec(layouts=LAYOUTS),
    "target": GridSpec(layouts=LAYOUTS, target_tok=60, slack=1.0),
    "flat": GridSpec(layouts=LAYOUTS, merge="flat"),
    "blog": GridSpec(layouts=LAYOUTS, target_tok=100, rule="blog"),
}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.w}x{image.h}")
@pytest.mark.parametrize("grid", GRIDS)
def test_every_token_shows_its_place(grid: str, image: HW) -> None:
    assert complaints(image, GRIDS[grid]) == []


def in_row(change: Callable[[list[int], VisualPlan, Segment], None]) -> Callable[..., list[int]]:
    def mutated(plan: VisualPlan, segment: Segment, src: int, dst: int) -> list[int]:
        row = real_row(plan, segment, src, dst)
        change(row, plan, segment)
        return row

    return mutated


def swap_cols(row: list[int], plan: VisualPlan, segment: Segment) -> None:
    row[Column.COLS] = plan.canvases[segment.canvas].tiles.h


def swap_crop_corner(row: list[int], plan: VisualPlan, segment: Segment) -> None:
    row[Column.Y], row[Column.X] = row[Column.X], row[Column.Y]


def swap_crop_size(row: list[int], plan: VisualPlan, segment: Segment) -> None:
    row[Column.H], row[Column.W] = row[Column.W], row[Column.H]


def swap_out(row: list[int], plan: VisualPlan, segment: Segment) -> None:
    row[Column.OUT_H], row[Column.OUT_W] = row[Column.OUT_W], row[Column.OUT_H]


def cut_column_major(tiles_NCHW: NDArray[np.uint8], canvas: Canvas, content_CHW: NDArray[np.uint8]) -> None:
    real_cut(tiles_NCHW, canvas, content_CHW)
    tiles_NCHW[:] = rearrange(tiles_NCHW.copy(), "(r c) d h w -> (c r) d h w", r=canvas.tiles.h)


real_row, real_cut = anyres.lower._row, anyres.pixels._cut
MUTATIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    "layout": ("anyres.plan.choose_layout", lambda image, grid, tile: choose_layout(image, grid, tile).transposed),
    "image of the layout": (
        "anyres.plan.choose_layout",
        lambda image, grid, tile: choose_layout(image.transposed, grid, tile),
    ),
    "padding": ("anyres.plan.unpad", lambda image, canvas, rounding: unpad(image.transposed, canvas, rounding)),
    "content": ("anyres.plan.content_box", lambda image, canvas: content_box(image.transposed, canvas)),
    "tiles in a row": ("anyres.lower._row", in_row(swap_cols)),
    "crop corner": ("anyres.lower._row", in_row(swap_crop_corner)),
    "crop size": ("anyres.lower._row", in_row(swap_crop_size)),
    "resampled size": ("anyres.lower._row", in_row(swap_out)),
    "order of tiles": ("anyres.pixels._cut", cut_column_major),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_swap_anywhere_is_noticed(name: str) -> None:
    noticed = 0
    with patch(*MUTATIONS[name]):
        for image in IMAGES:
            for grid in GRIDS.values():
                try:
                    noticed += bool(complaints(image, grid))
                except (AssertionError, IndexError, ValueError, RuntimeError):
                    # the swap led outside of a canvas
                    noticed += 1
    assert noticed >= 2
