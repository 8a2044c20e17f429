"""Break the wiring on purpose: the same pixels and weights, tokens in the wrong order or without their row ends.

A model that answers as well with broken wiring does not use the layout, and a correct one must get worse. These
transforms exist for that test only. Plans in, plans and tile orders out; no torch.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal, get_args

from anyres.plan import VisualPlan

Wiring = Literal["none", "shuffled_tiles", "no_row_ends", "swapped_rows_cols"]
WIRINGS: tuple[Wiring, ...] = get_args(Wiring)


def rewire(plan: VisualPlan, wiring: Wiring) -> VisualPlan:
    """Return the plan that a broken planner would give: without row ends, or the plan itself."""
    if wiring != "no_row_ends":
        return plan
    kept = tuple(replace(segment, end="none") if segment.end == "row" else segment for segment in plan.segments)
    return replace(plan, segments=kept)


def tile_order(plan: VisualPlan, wiring: Wiring, seed: str) -> list[int]:
    """Return which tile stands at each place, canvas by canvas: the identity unless tiles are to be mixed up.

    shuffled_tiles: a random order within each canvas of several tiles, never the identity, the same for the same
    `seed`. swapped_rows_cols: the row-major tiles of each canvas read column by column.
    """
    order: list[int] = []
    for index, canvas in enumerate(plan.canvases):
        start, (rows, cols) = len(order), canvas.tiles
        places = list(range(rows * cols))
        if wiring == "shuffled_tiles" and len(places) > 1:
            places = _shuffled(places, random.Random(f"{seed}|{index}"))
        if wiring == "swapped_rows_cols":
            places = [(place % cols) * rows + place // cols for place in places]
        order += [start + place for place in places]
    return order


def _shuffled(places: list[int], draw: random.Random) -> list[int]:
    mixed = places
    while mixed == places:
        mixed = draw.sample(places, len(places))
    return mixed


def end_places(plan: VisualPlan) -> set[int]:
    """Return the indices, in the plan's order of tokens, of the end vectors that close rows."""
    places: set[int] = set()
    start = 0
    for segment in plan.segments:
        if segment.end == "row":
            places |= {start + (row + 1) * (segment.out.w + 1) - 1 for row in range(segment.out.h)}
        start += segment.num_tokens
    return places
