"""Join prepared examples into a batch: equal media once, tiles that nothing reads not at all, rows of one length.

Legend: N tiles, B rows, L sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray

from anyres.lower import lower, resampled
from anyres.needed import Needed, needed
from anyres.plan import VisualPlan
from models.batch import Batch, Known
from models.prepared import Prepared
from models.prompt.positions import IGNORED, TEXT, PromptPlan
from models.same import distinct

# the id below an ignored position; the model reads a visual token there, or nothing
FILLER_ID = 0
# tiles and known tokens by who they are, and the plans
_Seen = tuple[int, tuple[int, ...], tuple[VisualPlan, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """What a batch says of each position, int64 [B, L]."""

    ids_BL: NDArray[np.int64]
    visual_BL: NDArray[np.int64]
    labels_BL: NDArray[np.int64]
    attention_BL: NDArray[np.int64]


def collate(prepared: Sequence[Prepared]) -> Batch:
    """Return a batch of examples, padded on the right; examples about the same tiles by the same plans share them.

    Raises ValueError for none, for a mix of clips pooled before the projector with tokens resampled after it, or for
    tiles of 8 bits beside normalised ones.
    """
    if not prepared:
        raise ValueError("collate: no examples")
    pack_first, exact = any(one.pack_first for one in prepared), all(one.exact for one in prepared)
    if pack_first and not exact:
        raise ValueError("collate: clips pooled before the projector cannot share a batch with resampled images")
    shown = _shown(prepared)
    if len(dtypes := {one.pixels_NCHW.dtype for one in shown}) > 1:
        raise ValueError(f"collate: expected tiles of one dtype, got {', '.join(sorted(map(str, dtypes)))}")
    ends = accumulate(one.num_visual for one in shown)
    starts = {_seen(one): end - one.num_visual for one, end in zip(shown, ends, strict=True)}
    rows = _rows([one.prompt for one in prepared], [starts[_seen(one)] for one in prepared])
    plans = [list(map(needed, one.drawn)) for one in shown]
    wanted = [_places(*one) for one in zip(shown, plans, strict=True)]
    pixels_NCHW, tile_of_N = distinct([one.pixels_NCHW for one in shown], wanted)
    shown_plans = [one.plan for own in plans for one in own]
    table = lower(shown_plans)
    return Batch(
        pixels_NCHW=pixels_NCHW,
        table=table,
        ids_BL=torch.from_numpy(rows.ids_BL),
        visual_BL=torch.from_numpy(rows.visual_BL),
        labels_BL=torch.from_numpy(rows.labels_BL),
        attention_BL=torch.from_numpy(rows.attention_BL),
        # a copy commutes with a projector that reads one token at a time: what is dropped need not be projected
        pack_first=pack_first or (exact and table.num_tokens < table.num_source),
        tile_of_N=tile_of_N,
        resampled=resampled(shown_plans),
        known=_known(shown),
    )


def _known(shown: Sequence[Prepared]) -> Known | None:
    """Return the tokens that were encoded before, and their places among those of all media in order."""
    media = [(plan, tokens) for one in shown for plan, tokens in zip(one.plans, one.known, strict=False)]
    tokens = [tokens_TD for _, tokens_TD in media if tokens_TD is not None]
    if not tokens:
        return None
    drawn, known = 0, sum(plan.num_tokens for one in shown for plan in one.drawn)
    order = []
    for one in shown:
        for plan, tokens_TD in zip(one.plans, one.known or (None,) * len(one.plans), strict=True):
            start = drawn if tokens_TD is None else known
            order.append(torch.arange(start, start + plan.num_tokens))
            drawn, known = (start + plan.num_tokens, known) if tokens_TD is None else (drawn, start + plan.num_tokens)
    return Known(tokens_KD=torch.cat(tokens), order_T=torch.cat(order))


def _seen(one: Prepared) -> _Seen:
    """Return what two examples of a batch have in common when they show the same media by the same plans."""
    return id(one.pixels_NCHW), tuple(map(id, one.known)), one.plans


def _shown(prepared: Sequence[Prepared]) -> list[Prepared]:
    """Return the first example of each set of tiles and plans."""
    first: dict[_Seen, Prepared] = {}
    for one in prepared:
        first.setdefault(_seen(one), one)
    return list(first.values())


def _places(one: Prepared, plans: Sequence[Needed]) -> list[int]:
    """Return which of an example's tiles its tokens are made of."""
    starts = accumulate((plan.num_tiles for plan in one.drawn), initial=0)
    return [start + tile for start, own in zip(starts, plans, strict=False) for tile in own.tiles]


def _rows(prompts: Sequence[PromptPlan], offsets: Sequence[int]) -> _Rows:
    """Return prompts as rows of one length, each with its packed tokens counted from its offset on."""
    shape = len(prompts), max(map(len, prompts))
    rows = _Rows(
        # the placeholder's id may lie outside the vocabulary
        ids_BL=np.full(shape, FILLER_ID, dtype=np.int64),
        visual_BL=np.full(shape, TEXT, dtype=np.int64),
        labels_BL=np.full(shape, IGNORED, dtype=np.int64),
        attention_BL=np.zeros(shape, dtype=np.int64),
    )
    for row, (prompt, offset) in enumerate(zip(prompts, offsets, strict=True)):
        place = 0
        for run in prompt.runs:
            inside = slice(place, place + run.count)
            if run.first == TEXT:
                rows.ids_BL[row, inside], rows.labels_BL[row, inside] = run.ids, run.labels
            else:
                rows.visual_BL[row, inside] = np.arange(offset + run.first, offset + run.first + run.count)
            place += run.count
        rows.attention_BL[row, :place] = 1
    return rows
