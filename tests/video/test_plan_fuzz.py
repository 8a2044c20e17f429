"""Random images and clips, planned and packed: the small version of `python -m video.bench.plans`."""

from dataclasses import replace
from random import Random

import pytest

from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.plan import plan_image
from video.bench.plans import Case, broken_rules, draw_case, produced, run
from video.budget import frames_that_fit
from video.clip import VideoSpec
from video.plan import plan_clip


def test_no_plan_breaks_a_rule_and_planned_tokens_are_produced() -> None:
    report = run(cases=120, produced=15, seed=11)
    assert report["broken"] == {}, report["first"]
    assert (report["produced"], report["planned_is_not_produced"]) == (15, 0)
    assert 20 < report["clips"] < 80


def test_the_same_seed_draws_the_same_cases() -> None:
    assert [draw_case(Random(3)) for _ in range(2)] == [draw_case(Random(3))] * 2


def test_a_broken_plan_is_noticed() -> None:
    case = Case(size=HW(300, 200), tile=TileSpec(px=42, tok=3), grid=GridSpec(layouts=(HW(2, 1), HW(1, 2))))
    plan = case.plan()
    assert broken_rules(case, plan) == []
    longer = replace(plan, segments=(*plan.segments, plan.segments[0]))
    assert "a second plan differs" in broken_rules(case, longer)
    assert produced(plan) == (plan.num_tokens, plan.num_ends) != produced(longer)


@pytest.mark.parametrize("size", [HW(0, 1), HW(1, 0), HW(0, 0), HW(-3, 5)])
def test_a_side_of_no_pixels_is_refused(size: HW) -> None:
    with pytest.raises(ValueError, match="expected at least 1x1 pixels"):
        plan_image(size, GridSpec(), TileSpec(px=42, tok=3))


def test_frames_without_a_token_have_no_most() -> None:
    grid = GridSpec(layouts=(HW(2, 3), HW(4, 1), HW(4, 2), HW(4, 3)), overview="none", thin="released")
    video = VideoSpec(frames_as="anyres", pool_mode="none", end="no_token")
    tile = TileSpec(px=42, tok=3)
    assert plan_clip(HW(32, 1375), 2, video, tile, grid).num_tokens == 0
    with pytest.raises(ValueError, match="a frame has no token by this grid"):
        frames_that_fit(100, 0, video, tile, size=HW(32, 1375), grid=grid)
