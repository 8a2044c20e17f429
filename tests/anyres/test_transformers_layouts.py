"""T2: random sizes against transformers' own choice of a layout and its own padding removal."""

import random
from pathlib import Path

import pytest
import torch
import yaml
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_next.modeling_llava_next import unpad_image

from anyres import HW, GridSpec, TileSpec, choose_layout
from anyres.unpad import unpad
from conf.build import build

GRIDS = Path(__file__).resolve().parents[2] / "conf" / "grid"
LISTS = {
    "llava-next": TileSpec.of(336, 14),
    "onevision": TileSpec.of(384, 14),
    "interleave": TileSpec.of(384, 14),
    "llava-1.5-hd": TileSpec.of(224, 14),
    "llava-next-blog": TileSpec.of(336, 14),
}


def grid_of(name: str) -> GridSpec:
    return build(GridSpec, yaml.safe_load((GRIDS / f"{name}.yaml").read_text()), where=name)


def random_sizes(count: int) -> list[HW]:
    rng = random.Random(2)
    return [HW(rng.randint(1, 2048), rng.randint(1, 2048)) for _ in range(count)]


def kept_by_transformers(image: HW, layout: HW, tile: TileSpec) -> HW:
    nothing_DHW = torch.empty(0, layout.h * tile.tok, layout.w * tile.tok)
    return HW(*unpad_image(nothing_DHW, tuple(image)).shape[1:])


def is_tie(image: HW, grid: GridSpec, tile: TileSpec) -> bool:
    """Tell whether the order of the list decides: no layout is one tile, and the image fits a tile or fits nowhere.

    An image that fits a tile leaves as much of 2x1 as of 1x2; of one so thin that it vanishes on every canvas nothing
    is kept, so the smallest canvas wins, and there are two.
    """
    longest = max(max(layout) for layout in grid.layouts) * tile.px
    vanishes = max(image) > longest * min(image)
    return HW(1, 1) not in grid.layouts and (max(image) <= tile.px or vanishes)


@pytest.mark.parametrize("name", LISTS)
def test_t2_the_layout_of_ten_thousand_sizes(name: str) -> None:
    tile, released = LISTS[name], grid_of(name)
    like_transformers = build(GridSpec, {"layouts": released.layouts, "tie_order": "transformers"}, where=name)
    ties = 0
    for image in random_sizes(10_000):
        canvases = [[layout.w * tile.px, layout.h * tile.px] for layout in released.layouts]
        height, width = select_best_resolution(tuple(image), canvases)
        layout = HW(height // tile.px, width // tile.px)
        assert choose_layout(image, like_transformers, tile) == layout, image
        ours = choose_layout(image, released, tile)
        if is_tie(image, released, tile):
            ties += 1
            assert (ours, layout) == (HW(2, 1), HW(1, 2)), image
        else:
            assert ours == layout, image
    # lists without a single tile: (336 / 2048)^2 or (384 / 2048)^2 of the sizes, and a few thin ones
    expected = {"llava-next": 0.027, "llava-next-blog": 0.027, "interleave": 0.035}.get(name, 0)
    assert abs(ties / 10_000 - expected) < 0.005


@pytest.mark.parametrize("name", LISTS)
def test_t2_padding_removal_of_random_sizes(name: str) -> None:
    tile, grid = LISTS[name], grid_of(name)
    for image in random_sizes(2_500):
        layout = choose_layout(image, grid, tile)
        canvas_tok = layout.times(tile.tok)
        kept = kept_by_transformers(image, layout, tile)
        assert unpad(image, canvas_tok, "transformers").size == kept, image
        # none of these sizes is among the few that rounding decides
        assert unpad(image, canvas_tok, "released").size == kept, image


@pytest.mark.parametrize(
    ("name", "image", "layout", "released", "rounded"),
    [
        # the tall canvas of the list with 27 tokens a side: truncation keeps 26 of the long side, rounding 28
        ("interleave", HW(99, 99), HW(2, 1), HW(26, 27), HW(28, 27)),
        ("interleave", HW(211, 211), HW(2, 1), HW(26, 27), HW(28, 27)),
        ("interleave", HW(323, 323), HW(2, 1), HW(26, 27), HW(28, 27)),
        ("interleave", HW(100, 100), HW(2, 1), HW(28, 27), HW(28, 27)),
        ("llava-next-blog", HW(656, 205), HW(2, 1), HW(48, 14), HW(48, 16)),
        ("llava-next-blog", HW(748, 352), HW(3, 1), HW(50, 24), HW(52, 24)),
    ],
)
def test_t2_the_few_sizes_that_rounding_decides(name: str, image: HW, layout: HW, released: HW, rounded: HW) -> None:
    tile = LISTS[name]
    canvas_tok = layout.times(tile.tok)
    assert unpad(image, canvas_tok, "released").size == released
    assert unpad(image, canvas_tok, "transformers").size == rounded
    assert kept_by_transformers(image, layout, tile) == rounded
