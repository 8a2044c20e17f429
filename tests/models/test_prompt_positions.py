"""A prompt as runs says what it says position by position."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.prompt.positions import IGNORED, TEXT, PromptPlan, Run

TEXTS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([IGNORED, 3])), max_size=4)
TOKENS = st.lists(st.integers(1, 5), max_size=3)


def test_runs_are_spelled_position_by_position() -> None:
    text = Run(ids=(5, 6), labels=(IGNORED, 6), count=2)
    plan = PromptPlan(runs=(text, Run(ids=(9,), first=3, count=2), text))
    assert len(plan) == 6
    assert plan.ids == (5, 6, 9, 9, 5, 6)
    assert plan.labels == (IGNORED, 6, IGNORED, IGNORED, IGNORED, 6)
    assert plan.visual == (TEXT, TEXT, 3, 4, TEXT, TEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, TOKENS), max_size=4))
def test_positions_make_the_same_plan(parts: list[tuple[list[tuple[int, int]], list[int]]]) -> None:
    ids: list[int] = []
    labels: list[int] = []
    visual: list[int] = []
    for text, jumps in parts:
        ids += [id for id, _ in text] + [7] * len(jumps)
        labels += [label for _, label in text] + [IGNORED] * len(jumps)
        visual += [TEXT] * len(text) + [sum(jumps[: place + 1]) for place in range(len(jumps))]
    plan = PromptPlan.of(ids, labels, visual)
    assert (plan.ids, plan.labels, plan.visual) == (tuple(ids), tuple(labels), tuple(visual))
    assert len(plan) == len(ids) and all(run.count for run in plan.runs)


def test_what_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="2 ids, 1 labels and 2 visual indices"):
        PromptPlan.of([1, 2], [IGNORED], [TEXT, TEXT])
    with pytest.raises(ValueError, match="a packed token has a label"):
        PromptPlan.of([1], [1], [0])
