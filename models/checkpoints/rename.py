"""The names of one tensor in every layout: one table of prefixes, read in all directions.

Layouts: anyres (a run folder); official (LLaVA-NeXT's own) and official_linear (the same with a projector of one layer,
which has no number there) and official_bare (the same saved with transformers 5, whose towers have no inner name); and
transformers' LLaVA-NeXT four times: hf_hosted (files on the hub), hf_saved (files that transformers 5 writes), hf_model
(names inside its model), hf_nested (the same before transformers 5). A prefix of None: the layout has no place for it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Layout = Literal[
    "anyres", "official", "official_linear", "official_bare", "hf_hosted", "hf_saved", "hf_model", "hf_nested"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One part of a model and the prefix of its names in each layout."""

    anyres: str
    official: str
    official_linear: str | None = None
    official_bare: str | None = None
    hf_hosted: str | None = None
    hf_saved: str | None = None
    hf_model: str | None = None
    hf_nested: str | None = None

    def prefix(self, layout: Layout) -> str | None:
        """Return the prefix in one layout."""
        return {
            "anyres": self.anyres,
            "official": self.official,
            "official_linear": self.official_linear or self.official,
            "official_bare": self.official_bare or self.official,
            "hf_hosted": self.hf_hosted,
            "hf_saved": self.hf_saved,
            "hf_model": self.hf_model,
            "hf_nested": self.hf_nested,
        }[layout]


ROWS = (
    Row(
        anyres="encoder.tower.",
        official="model.vision_tower.vision_tower.vision_model.",
        official_bare="model.vision_tower.vision_tower.",
        hf_hosted="vision_tower.vision_model.",
        hf_saved="vision_tower.",
        hf_model="model.vision_tower.",
        hf_nested="model.vision_tower.vision_model.",
    ),
    Row(
        anyres="projector.layers.0.",
        official="model.mm_projector.0.",
        official_linear="model.mm_projector.",
        hf_hosted="multi_modal_projector.linear_1.",
        hf_saved="multi_modal_projector.linear_1.",
        hf_model="model.multi_modal_projector.linear_1.",
        hf_nested="model.multi_modal_projector.linear_1.",
    ),
    Row(
        anyres="projector.layers.2.",
        official="model.mm_projector.2.",
        hf_hosted="multi_modal_projector.linear_2.",
        hf_saved="multi_modal_projector.linear_2.",
        hf_model="model.multi_modal_projector.linear_2.",
        hf_nested="model.multi_modal_projector.linear_2.",
    ),
    # deeper projectors
    Row(anyres="projector.layers.", official="model.mm_projector."),
    Row(
        anyres="ends_KD.0",
        official="model.image_newline",
        hf_hosted="image_newline",
        hf_saved="image_newline",
        hf_model="model.image_newline",
        hf_nested="model.image_newline",
    ),
    Row(
        anyres="ends_KD.1",
        official="model.faster_token",
    ),
    Row(
        anyres="llm.lm_head.",
        official="lm_head.",
        hf_hosted="language_model.lm_head.",
        hf_saved="language_model.lm_head.",
        hf_model="lm_head.",
        hf_nested="lm_head.",
    ),
    Row(
        anyres="llm.model.",
        official="model.",
        hf_hosted="language_model.model.",
        hf_saved="language_model.model.",
        hf_model="model.language_model.",
        hf_nested="model.language_model.",
    ),
)

# buffers that old releases saved and that are computed now; SigLIP's pooling head, which nothing reads
UNUSED = re.compile(r"\.rotary_emb\.inv_freq$|\.embeddings\.position_ids$|vision_tower\.(vision_model\.)?head\.")


def rename(keys: Iterable[str], source: Layout, target: Layout) -> dict[str, str]:
    """Return the name in `target` of each name in `source`, leaving out what no layout needs.

    Raises ValueError for names that the source layout does not have or the target has no place for.
    """
    names: dict[str, str] = {}
    lost: list[str] = []
    for key in keys:
        if UNUSED.search(key):
            continue
        row = _row(key, source)
        new = None if row is None else row.prefix(target)
        if row is None or new is None:
            lost.append(key)
        else:
            names[key] = new + key.removeprefix(row.prefix(source) or "")
    if lost:
        raise ValueError(f"{len(lost)} tensors of layout {source!r} have no name in {target!r}: {lost[:5]}")
    return names


def hf_layout(keys: Iterable[str]) -> Layout:
    """Return which of transformers' layouts the names follow.

    Raises ValueError with the first names when none fits.
    """
    found = list(keys)
    tops = {".".join(key.split(".")[:2]) for key in found}
    if "model.language_model" in tops:
        nested = any(key.startswith("model.vision_tower.vision_model.") for key in found)
        return "hf_nested" if nested else "hf_model"
    if "language_model.model" in tops:
        return "hf_hosted" if "vision_tower.vision_model" in tops else "hf_saved"
    raise ValueError(
        "neither 'language_model.model.*' nor 'model.language_model.*' among the tensors, "
        f"so this is no layout of transformers' LLaVA-NeXT; found {found[:5]}"
    )


def _row(key: str, layout: Layout) -> Row | None:
    fitting = [row for row in ROWS if (prefix := row.prefix(layout)) is not None and key.startswith(prefix)]
    # the longest prefix: "model." is the start of every other one in the official layout
    return max(fitting, key=lambda row: len(row.prefix(layout) or ""), default=None)
