"""The two threshold rules and the hard cap, with the numbers that were published for them."""

from math import sqrt

import pytest

from anyres import HW, GridSpec, TileSpec, plan_image
from anyres.threshold import shrink_released, tokens_per_side_blog

SIGLIP_384, CLIP_336 = TileSpec.of(384, 14), TileSpec.of(336, 14)


@pytest.mark.parametrize(
    ("kept", "out"),
    [
        # anyres_max_9 at 27 tokens a side: target 6561
        (HW(75, 135), HW(60, 108)),
        (HW(92, 162), HW(61, 107)),
        (HW(162, 115), HW(96, 68)),
        (HW(106, 162), HW(65, 100)),
        (HW(162, 162), HW(81, 81)),
        # a ratio of 1.0344 and of 1.09994: within the slack
        (HW(108, 65), HW(108, 65)),
        (HW(98, 81), HW(98, 81)),
    ],
)
def test_released_rule(kept: HW, out: HW) -> None:
    assert shrink_released(kept, 9 * 27**2, 1.1, at_least_one=False) == out


def test_slack_of_one_is_a_hard_cap() -> None:
    for h in range(1, 130, 3):
        for w in range(1, 130, 7):
            for target in (1, 2, 7, 576, 577):
                out = shrink_released(HW(h, w), target, 1.0, at_least_one=True)
                assert 1 <= out.area <= max(target, 1), (h, w, target)
                assert out.h <= h
                assert out.w <= w
                if h * w <= target:
                    assert out == HW(h, w)


def test_released_slack_may_exceed_the_target_by_a_fifth_and_no_more() -> None:
    areas = [shrink_released(HW(h, 81), 6561, 1.1, at_least_one=True).area for h in range(1, 400)]
    assert max(areas) == 98 * 81
    assert 6561 < max(areas) <= 1.1**2 * 6561


@pytest.mark.parametrize(
    ("layout", "side", "total"),
    [
        # tau = 10 * 729 tokens: T_new = tau / (a b + 1), the side rounded down
        (HW(6, 6), 14, 7252),
        (HW(3, 3), 27, 7290),
        (HW(2, 5), 25, 6875),
        (HW(5, 2), 25, 6875),
    ],
)
def test_blog_rule(layout: HW, side: int, total: int) -> None:
    assert tokens_per_side_blog(layout, SIGLIP_384, 7290) == side
    assert side == min(27, int(sqrt(7290 / (layout.area + 1))))
    grid = GridSpec(layouts=(layout,), target_tok=7290, rule="blog")
    plan = plan_image(HW(1000, 1000), grid, SIGLIP_384)
    assert plan.num_tokens == total
    assert plan.num_ends == 0
    # base and tiles alike, every view by itself
    assert {segment.out for segment in plan.segments} == {HW(side, side)}
    assert len(plan.segments) == layout.area + 1


@pytest.mark.parametrize("tile", [SIGLIP_384, CLIP_336], ids=["27", "24"])
@pytest.mark.parametrize("tiles", [1, 4, 9, 10, 36])
def test_blog_rule_never_exceeds_its_target(tile: TileSpec, tiles: int) -> None:
    """Every grid up to 6 x 6: the total is at most tau, and one token more a side would be above it."""
    tau = tiles * tile.tok**2
    for layout in (HW(rows, cols) for rows in range(1, 7) for cols in range(1, 7)):
        grid = GridSpec(layouts=(layout,), target_tok=tau, rule="blog")
        total = plan_image(HW(1000, 1000), grid, tile).num_tokens
        views = layout.area + 1
        side = tokens_per_side_blog(layout, tile, tau)
        assert total == views * side**2 <= tau
        assert side == tile.tok or views * (side + 1) ** 2 > tau


def test_released_rule_up_to_6x6() -> None:
    """The map of every grid that a matching image fills: shrunk only beyond 1.1, and then at most the target."""
    for rows in range(1, 7):
        for cols in range(1, 7):
            grid = GridSpec(layouts=(HW(rows, cols),), target_tiles=9)
            plan = plan_image(HW(rows * 384, cols * 384), grid, SIGLIP_384)
            out = plan.segments[1].out
            if sqrt(rows * cols / 9) > 1.1:
                assert out.area <= 9 * 729
            else:
                assert out == HW(rows * 27, cols * 27)
            assert plan.num_tokens == 729 + out.h * (out.w + 1)


def test_released_rule_on_the_same_canvases() -> None:
    # 6 x 6: 7371 = 729 + 81 * 82; 2 x 5 and 5 x 2 stay whole: 729 + 54 * 136 and 729 + 135 * 55
    counts = {}
    for layout, image in ((HW(6, 6), HW(600, 600)), (HW(2, 5), HW(200, 500)), (HW(5, 2), HW(500, 200))):
        grid = GridSpec(layouts=(layout,), target_tiles=9)
        counts[tuple(layout)] = plan_image(image, grid, SIGLIP_384).num_tokens
    assert counts == {(6, 6): 7371, (2, 5): 8073, (5, 2): 8154}


def test_target_in_tokens_on_a_page() -> None:
    # a page of 1700 x 2200: 48 x 38 tokens kept; sqrt(1824 / 1152) = 1.26, so 38 x 30; 576 + 38 * 31
    layouts = tuple(HW(h, w) for h, w in [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3), (4, 1), (1, 4)])
    plan = plan_image(HW(2200, 1700), GridSpec(layouts=layouts, target_tok=1152), CLIP_336)
    assert tuple(plan.canvases[1].content_px) == (0, 76, 672, 520)
    assert tuple(plan.segments[1].crop_tok) == (0, 5, 48, 38)
    assert plan.segments[1].out == HW(38, 30)
    assert plan.num_tokens == 1754


def test_impossible_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="target of 36 tokens leaves none for each of 37 views"):
        plan_image(HW(9, 9), GridSpec(layouts=(HW(6, 6),), target_tok=36, rule="blog"), SIGLIP_384)
    with pytest.raises(ValueError, match="target_tok: expected at least 1"):
        GridSpec(layouts=(HW(1, 1),), target_tok=0)
    with pytest.raises(ValueError, match="target_tiles: expected at least 1"):
        GridSpec(layouts=(HW(1, 1),), target_tiles=0)
    with pytest.raises(ValueError, match="not both"):
        GridSpec(layouts=(HW(1, 1),), target_tiles=1, target_tok=1)
    with pytest.raises(ValueError, match="slack: expected at least 1"):
        GridSpec(layouts=(HW(1, 1),), slack=0.9)
    with pytest.raises(ValueError, match="pools by 2 whatever the target"):
        GridSpec(layouts=(HW(1, 1),), target_tok=9, merge="spatial_maxpool2x2")
    with pytest.raises(ValueError, match="'flat' has no merged map"):
        GridSpec(layouts=(HW(1, 1),), target_tok=9, merge="flat")


@pytest.mark.parametrize("name", ["rule", "overview", "merge", "tie_order", "rounding", "thin", "detail"])
def test_an_unknown_switch_is_refused_and_not_taken_for_another(name: str) -> None:
    with pytest.raises(ValueError, match=rf"grid\.{name}: expected one of .*, got 'x'"):
        GridSpec(layouts=(HW(1, 1),), **{name: "x"})
