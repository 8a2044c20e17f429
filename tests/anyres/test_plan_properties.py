"""Properties of plans over random sizes, grids, tiles and targets, up to the tokens that packing really produces."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres import HW, GridSpec, TileSpec, VisualPlan, plan_image
from anyres.lower import lower
from kernels.pack.op import pack
from kernels.pack.reference import pack_reference

PROPERTY = settings(max_examples=120, deadline=None, derandomize=True, database=None)

sides = st.one_of(st.integers(1, 40), st.integers(1, 900), st.integers(1, 8000))
images = st.builds(HW, sides, sides)
layouts = st.lists(st.builds(HW, st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=8, unique=True)
tiles = st.builds(TileSpec.of, st.integers(28, 400), st.integers(9, 16))
small_tiles = st.builds(lambda tok: TileSpec(px=14 * tok, tok=tok), st.integers(1, 6))


@st.composite
def grids(draw: st.DrawFn) -> GridSpec:
    rule = draw(st.sampled_from(["released", "blog"]))
    merge = draw(st.sampled_from(["spatial_unpad", "spatial", "flat"]))
    chosen = tuple(draw(layouts))
    # room for one token a view under the blog's rule
    target = draw(st.none() | st.integers(max(layout.area for layout in chosen) + 1, 9000))
    return GridSpec(
        layouts=chosen,
        target_tok=None if rule == "released" and merge == "flat" else target,
        slack=draw(st.sampled_from([1.0, 1.1, 1.5])),
        rule=rule,
        merge=merge,
        overview=draw(
            st.sampled_from(["squash", "pad", "crop"] if rule == "blog" else ["squash", "pad", "crop", "none"])
        ),
        thin=draw(st.sampled_from(["keep", "released"])),
    )


def detail(plan: VisualPlan) -> int:
    return len(plan.canvases) - 1


@PROPERTY
@given(image=images, grid=grids(), tile=tiles)
def test_crops_lie_inside_their_canvases(image: HW, grid: GridSpec, tile: TileSpec) -> None:
    plan = plan_image(image, grid, tile)
    for segment in plan.segments:
        canvas_tok = plan.canvas_tok(segment.canvas)
        assert segment.crop_tok.inside(canvas_tok)
        # tokens are never made up
        assert 0 <= segment.out.h <= segment.crop_tok.h
        assert 0 <= segment.out.w <= segment.crop_tok.w
    canvas = plan.canvases[detail(plan)]
    assert canvas.tiles in grid.layouts
    assert canvas.content_px.inside(plan.canvas_px(detail(plan)))
    assert plan.num_tiles == canvas.tiles.area + (grid.overview != "none")


@PROPERTY
@given(image=images, grid=grids(), tile=tiles)
def test_detail_is_never_empty_unless_the_released_behaviour_is_asked_for(
    image: HW, grid: GridSpec, tile: TileSpec
) -> None:
    plan = plan_image(image, grid, tile)
    kept = [segment.out.area for segment in plan.segments if segment.canvas == detail(plan)]
    if grid.thin == "keep":
        assert sum(kept) >= 1


@PROPERTY
@given(image=images, grid=grids(), tile=tiles)
def test_targets_hold(image: HW, grid: GridSpec, tile: TileSpec) -> None:
    plan = plan_image(image, grid, tile)
    target = grid.target(tile)
    if target is None:
        return
    if grid.rule == "blog":
        assert plan.num_tokens <= target
        return
    (segment,) = [segment for segment in plan.segments if segment.canvas == detail(plan)]
    assert segment.out.area <= grid.slack**2 * target * (1 + 1e-12)


@PROPERTY
@given(image=images, grid=grids(), tile=tiles)
def test_transposing_the_image_transposes_the_plan(image: HW, grid: GridSpec, tile: TileSpec) -> None:
    flipped = GridSpec(
        layouts=tuple(layout.transposed for layout in grid.layouts),
        target_tok=grid.target_tok,
        slack=grid.slack,
        rule=grid.rule,
        overview=grid.overview,
        merge=grid.merge,
        thin=grid.thin,
    )
    plan, other = plan_image(image, grid, tile), plan_image(image.transposed, flipped, tile)
    assert plan.canvases[-1].tiles == other.canvases[-1].tiles.transposed
    assert plan.canvases[-1].content_px.size == other.canvases[-1].content_px.size.transposed
    assert plan.segments[-1].out == other.segments[-1].out.transposed
    # row ends follow the rows
    if grid.merge == "spatial_unpad" and (grid.rule == "released" or grid.target_tok is None):
        assert plan.num_ends == plan.segments[-1].out.h


@PROPERTY
@given(image=images, list_=st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True))
def test_wide_images_get_wide_grids_and_content(image: HW, list_: list[int]) -> None:
    grid = GridSpec(layouts=tuple(HW(h, w) for h in list_ for w in list_))
    plan = plan_image(image, grid, TileSpec.of(336, 14))
    canvas, segment = plan.canvases[1], plan.segments[1]
    # below a few pixels of height the truncation of released layouts decides
    if image.w >= 2 * image.h >= 16 and image.w >= 336 * max(list_):
        assert canvas.tiles.w == max(list_)
        assert canvas.tiles.w >= canvas.tiles.h
    if image.w > image.h:
        assert canvas.content_px.w >= canvas.content_px.h
        assert canvas.content_px.w == plan.canvas_px(1).w or canvas.content_px.h == plan.canvas_px(1).h
    # padding is removed on the side where there is some
    if image.w / image.h > canvas.tiles.w / canvas.tiles.h:
        assert (segment.crop_tok.x, segment.crop_tok.w) == (0, 24 * canvas.tiles.w)
    if image.w / image.h < canvas.tiles.w / canvas.tiles.h:
        assert (segment.crop_tok.y, segment.crop_tok.h) == (0, 24 * canvas.tiles.h)


@settings(PROPERTY, max_examples=40)
@given(batch=st.lists(st.tuples(images, grids()), min_size=1, max_size=4), tile=small_tiles)
def test_planned_tokens_are_packed_tokens(batch: list[tuple[HW, GridSpec]], tile: TileSpec) -> None:
    plans = [plan_image(image, grid, tile) for image, grid in batch]
    table = lower(plans)
    num_tiles = sum(plan.num_tiles for plan in plans)
    features_NPD = torch.randn(num_tiles, tile.tok**2, 3, generator=torch.Generator().manual_seed(0))
    ends_KD = torch.full((1, 3), 9.0)
    tokens_TD = pack_reference(features_NPD, ends_KD, table)
    assert tokens_TD.shape[0] == table.num_tokens == sum(plan.num_tokens for plan in plans)
    assert int((tokens_TD == 9.0).all(1).sum()) == sum(plan.num_ends for plan in plans)
    torch.testing.assert_close(pack(features_NPD, ends_KD, table), tokens_TD, rtol=0, atol=1e-5)


def test_images_without_pixels_are_refused() -> None:
    for image in (HW(0, 5), HW(5, 0), HW(-1, 5)):
        with pytest.raises(ValueError, match="expected at least 1x1 pixels"):
            plan_image(image, GridSpec(), TileSpec.of(336, 14))


def test_grids_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="expected grids of at least 1x1 tiles"):
        GridSpec(layouts=(HW(0, 1),))
    with pytest.raises(ValueError, match="an overview is needed"):
        GridSpec(overview="none")
    with pytest.raises(ValueError, match="must hold the transpose of each of its grids"):
        plan_image(HW(5, 5), GridSpec(layouts=(HW(1, 2),), tie_order="transformers"), TileSpec.of(336, 14))
    with pytest.raises(ValueError, match="must both be at least 1"):
        TileSpec.of(13, 14)
