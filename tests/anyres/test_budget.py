"""A budget for several images: never exceeded, never wasted by more than the next cap, the same every time."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyres.budget import fit_images
from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.plan import plan_image

SIGLIP, CLIP = TileSpec(px=384, tok=27), TileSpec(px=336, tok=24)
FIVE = GridSpec(layouts=(HW(2, 1), HW(1, 2), HW(2, 2), HW(1, 3), HW(3, 1)))
UP_TO_6 = tuple(HW(rows, cols) for cols in range(1, 7) for rows in range(1, 7))
ONEVISION = GridSpec(layouts=UP_TO_6, target_tiles=9, thin="released")
GRIDS = (
    FIVE,
    ONEVISION,
    replace(FIVE, merge="spatial"),
    replace(FIVE, overview="none"),
    replace(FIVE, thin="released"),
    GridSpec(layouts=UP_TO_6, rule="blog", target_tok=7290),
    GridSpec(layouts=UP_TO_6, rule="blog"),
)
SIZES = st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)).map(lambda s: HW(*s)), min_size=1, max_size=6)


def total(sizes: list[HW], grid: GridSpec, budget: int) -> int:
    return sum(plan.num_tokens for plan in fit_images(sizes, grid, SIGLIP, budget))


def smallest(sizes: list[HW], grid: GridSpec) -> int:
    with pytest.raises(ValueError, match="smallest total possible") as raised:
        fit_images(sizes, grid, SIGLIP, 0)
    found = re.search(r"possible is ([\d,]+) ", str(raised.value))
    assert found
    return int(found[1].replace(",", ""))


@settings(max_examples=150, deadline=None)
@given(sizes=SIZES, grid=st.sampled_from(GRIDS), budget=st.integers(0, 40_000))
def test_the_total_is_within_the_budget_or_the_error_names_what_is_possible(
    sizes: list[HW], grid: GridSpec, budget: int
) -> None:
    least = smallest(sizes, grid)
    if budget < least:
        with pytest.raises(ValueError, match=f"possible is {least:,} "):
            fit_images(sizes, grid, SIGLIP, budget)
        return
    plans = fit_images(sizes, grid, SIGLIP, budget)
    assert sum(plan.num_tokens for plan in plans) <= budget
    assert plans == fit_images(sizes, grid, SIGLIP, budget)
    own = [plan_image(size, grid, SIGLIP) for size in sizes]
    for plan, before in zip(plans, own, strict=True):
        assert plan.canvases == before.canvases
        assert plan.num_tokens <= before.num_tokens
    if sum(plan.num_tokens for plan in own) <= budget:
        assert list(plans) == own


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, grid=st.sampled_from(GRIDS))
def test_the_smallest_total_can_be_had(sizes: list[HW], grid: GridSpec) -> None:
    least = smallest(sizes, grid)
    assert total(sizes, grid, least) <= least


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, grid=st.sampled_from(GRIDS), more=st.integers(0, 20_000))
def test_a_larger_budget_never_gives_fewer_tokens(sizes: list[HW], grid: GridSpec, more: int) -> None:
    least = smallest(sizes, grid)
    budgets = [least, least + more // 3, least + more]
    totals = [total(sizes, grid, budget) for budget in budgets]
    assert all(before <= after for before, after in pairwise(totals))


def test_three_photographs_in_the_context_of_llava_next() -> None:
    # 576 + 36 x 49 = 2340 each, 7020 together; a common cap of 729 tokens is 23 x 31 of 36 x 48: 576 + 23 x 32 = 1312
    photographs = [HW(480, 640)] * 3
    plans = fit_images(photographs, FIVE, CLIP, 4000)
    assert [plan.num_tokens for plan in plans] == [1312] * 3
    assert sum(plan.num_tokens for plan in fit_images(photographs, FIVE, CLIP, 7020)) == 7020


def test_the_small_image_keeps_its_tokens() -> None:
    small, large = HW(100, 400), HW(1000, 1000)
    own = plan_image(small, FIVE, CLIP)
    plans = fit_images([small, large], FIVE, CLIP, 2600)
    assert plans[0] == own
    assert sum(plan.num_tokens for plan in plans) <= 2600


@pytest.mark.parametrize(
    "grid", [GridSpec(overview="pad"), replace(FIVE, merge="flat"), replace(FIVE, merge="spatial_maxpool2x2")]
)
def test_what_has_no_map_cannot_be_lowered(grid: GridSpec) -> None:
    own = 2 * plan_image(HW(480, 640), grid, CLIP).num_tokens
    with pytest.raises(ValueError, match=f"possible is {own:,} "):
        fit_images([HW(480, 640)] * 2, grid, CLIP, own - 1)
    assert sum(plan.num_tokens for plan in fit_images([HW(480, 640)] * 2, grid, CLIP, own)) == own
