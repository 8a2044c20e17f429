"""An Answerer whose planner is broken on purpose, for the wiring test.

Legend: N tiles, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch

from evals.ablation.wiring import Wiring, end_places, rewire, tile_order
from evals.answerer import LmmAnswerer
from evals.predict import Answer, Question, Ready
from evals.sample import Media
from evals.store.ledger import Config
from models.prepared import Prepared
from models.prompt.positions import PromptPlan


class RewiredAnswerer:
    """Answers as `inner` would with its tiles out of order or its row ends gone."""

    def __init__(self, inner: LmmAnswerer, wiring: Wiring) -> None:
        self.inner, self.wiring = inner, wiring

    def facts(self) -> Config:
        """Return the model's facts and the wiring."""
        return {**self.inner.facts(), "wiring": self.wiring}

    def open(self, media: Media) -> object:
        """Return the decoded medium."""
        return self.inner.open(media)

    def prepare(self, question: Question) -> Ready:
        """Return the question with tiles, plans and prompt as the broken planner leaves them."""
        ready = self.inner.prepare(question)
        prepared = ready.payload
        assert isinstance(prepared, Prepared)
        broken = rewired(prepared, self.wiring, seed=question.id)
        return replace(ready, payload=broken, visual_tokens=broken.num_visual)

    def answer(self, ready: Sequence[Ready], max_new_tokens: int) -> list[Answer]:
        """Return one greedy answer each."""
        return self.inner.answer(ready, max_new_tokens)


def rewired(prepared: Prepared, wiring: Wiring, seed: str) -> Prepared:
    """Return an example as a broken planner would have prepared it: tiles moved, or row ends left out everywhere."""
    starts = list(accumulate((plan.num_tiles for plan in prepared.plans), initial=0))
    order = [
        start + tile
        for index, (start, plan) in enumerate(zip(starts[:-1], prepared.plans, strict=True))
        for tile in tile_order(plan, wiring, f"{seed}|{index}")
    ]
    plans = tuple(rewire(plan, wiring) for plan in prepared.plans)
    prompt = _without_ends(prepared) if wiring == "no_row_ends" else prepared.prompt
    pixels_NCHW = prepared.pixels_NCHW[torch.tensor(order, dtype=torch.long)]
    return replace(prepared, plans=plans, prompt=prompt, pixels_NCHW=pixels_NCHW)


def _without_ends(prepared: Prepared) -> PromptPlan:
    starts = list(accumulate((plan.num_tokens for plan in prepared.plans), initial=0))[:-1]
    dropped = {start + place for start, plan in zip(starts, prepared.plans, strict=True) for place in end_places(plan)}
    ids, labels, visual = prepared.prompt.ids, prepared.prompt.labels, prepared.prompt.visual
    kept = [place for place, index in enumerate(visual) if index not in dropped]
    # visual tokens stand in their own order, so those that are left are simply counted
    count = iter(range(len(kept)))
    return PromptPlan.of(
        ids=[ids[place] for place in kept],
        labels=[labels[place] for place in kept],
        visual=[next(count) if visual[place] >= 0 else visual[place] for place in kept],
    )
