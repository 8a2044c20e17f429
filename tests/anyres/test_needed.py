"""A plan that draws and encodes no more than its tokens are made of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anyres import HW, GridSpec, TileSpec, plan_image
from anyres.lower import lower
from anyres.needed import needed
from anyres.pixels import render_uint8
from kernels.pack.reference import pack_reference

TILE = TileSpec(px=28, tok=2)
LAYOUTS = (HW(1, 1), HW(2, 2), HW(3, 3), HW(2, 4))


def picture(size: HW) -> Image.Image:
    random = np.random.default_rng(size.h * 1000 + size.w)
    return Image.fromarray(random.integers(1, 256, (*size, 3), dtype=np.uint8))


def tokens(plan, image):
    """Pack the mean colours of each patch: what a token sees of its tile."""
    tiles_NCHW = render_uint8(plan, [image], (9, 9, 9)).float()
    patches_NCTT = torch.nn.functional.avg_pool2d(tiles_NCHW, plan.tile.px // plan.tile.tok)
    return pack_reference(patches_NCTT.flatten(2).transpose(1, 2), torch.full((2, 3), -1.0), lower([plan]))


def test_the_outer_tiles_of_a_narrow_image_in_a_square_layout_are_left_out() -> None:
    grid = GridSpec(layouts=(HW(3, 3),))
    plan = plan_image(HW(20, 300), grid, TILE)
    less = needed(plan).plan
    assert (plan.num_tiles, less.num_tiles) == (1 + 9, 1 + 3)
    assert less.num_tokens == plan.num_tokens
    assert less.canvases[1].tiles == HW(1, 3)
    assert needed(plan).tiles == (0, 4, 5, 6)
    # 84 x 5 or 6 pixels in the middle of the second row of tiles
    assert 0 < less.canvases[1].content_px.y < TILE.px


def test_a_square_image_in_one_tile_is_drawn_once() -> None:
    plan = plan_image(HW(50, 50), GridSpec(layouts=LAYOUTS[:1]), TILE)
    less = needed(plan).plan
    assert (plan.num_tiles, less.num_tiles) == (2, 1)
    assert [segment.canvas for segment in less.segments] == [0, 0]


def test_a_plan_that_reads_all_its_tiles_stays_as_it_is() -> None:
    plan = plan_image(HW(60, 58), GridSpec(layouts=(HW(2, 2),)), TILE)
    assert needed(plan).plan is plan


def test_a_padded_square_and_an_empty_crop_are_left_alone() -> None:
    padded = plan_image(HW(20, 300), GridSpec(layouts=(HW(3, 3),), detail="pad_square"), TILE)
    assert needed(padded).plan == padded
    thin = plan_image(HW(1, 1000), GridSpec(layouts=(HW(1, 3),), thin="released"), TILE)
    assert thin.segments[1].crop_tok.h == 0
    assert needed(thin).plan.num_tokens == thin.num_tokens


@pytest.mark.parametrize("merge", ["spatial_unpad", "spatial", "flat"])
@settings(max_examples=40, deadline=None)
@given(
    size=st.builds(HW, st.integers(1, 120), st.integers(1, 120)),
    layout=st.sampled_from(LAYOUTS),
    target=st.sampled_from([None, 5, 12]),
)
def test_the_tokens_are_the_same(merge: str, size: HW, layout: HW, target: int | None) -> None:
    grid = GridSpec(layouts=(layout,), merge=merge, target_tok=target if merge == "spatial_unpad" else None)
    plan, image = plan_image(size, grid, TILE), picture(size)
    found = needed(plan)
    assert torch.equal(tokens(plan, image), tokens(found.plan, image))
    drawn = render_uint8(plan, [image], (9, 9, 9))
    assert torch.equal(drawn[list(found.tiles)], render_uint8(found.plan, [image], (9, 9, 9)))
