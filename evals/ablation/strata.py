"""Split the samples of a sweep by what they are: native size, shape, length, type, facts of the benchmark."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from evals.ablation.known import NOTHING, Known
from evals.ablation.stats import holm
from evals.ablation.table import Measured, compare, judged, members
from evals.metrics.interval import wilson
from evals.result import Result, Scored
from evals.score import ALL

# quantile groups of a size or a length
PARTS = 4
# a fact with more words than this is no stratum: a name or a number
MOST_WORDS = 12
# fewer samples than this tell nothing on their own
FEWEST = 5
SHAPES = ((0.8, "tall, w/h < 0.8"), (1.25, "near square"), (2.0, "wide, 1.25 to 2"), (float("inf"), "very wide, > 2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One way to split samples: its name, and each sample's part by id; `parts` in the order to show them."""

    dimension: str
    parts: tuple[str, ...]
    part_of: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """One setting on one part of the samples, and its paired difference to the baseline; None for the baseline.

    p_holm: adjusted over all parts and settings of the dimension.
    """

    task: str
    dimension: str
    part: str
    setting: str
    baseline: str
    n: int
    accuracy: float
    low: float
    high: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    p_holm: float | None


def splits(items: Sequence[Scored], known: Mapping[str, Known]) -> tuple[Split, ...]:
    """Return every way to split these samples that gives at least two parts."""
    of = {item.id: known.get(item.id, NOTHING) for item in items}
    sizes = {name: one.size.area / 1e6 for name, one in of.items() if one.size is not None}
    seconds = {name: one.seconds for name, one in of.items() if one.seconds is not None}
    aspects = {name: one.aspect for name, one in of.items() if one.aspect is not None}
    found = [
        _quantiles("native size", sizes, "MP"),
        _shapes(aspects),
        _quantiles("duration", seconds, "s"),
        _words("question type", {item.id: item.kind for item in items}),
        *_facts(of),
    ]
    return tuple(split for split in found if len(split.parts) > 1)


def strata(
    points: Sequence[Measured], task: str, baseline: str, known: Mapping[str, Known]
) -> tuple[tuple[Split, tuple[Stratum, ...]], ...]:
    """Return each split of a task's samples with its rows, parts in order and settings in order of the points.

    Points with other samples than the baseline are left out: a difference needs the same questions.
    """
    base = next(point for point in points if point.setting == baseline).results[task]
    ids = [item.id for item in base.samples]
    same = [point for point in points if [item.id for item in point.results[task].samples] == ids]
    told = []
    for split in splits(base.samples, known):
        rows = [
            _stratum(split, part, point, task, baseline, base)
            for part in split.parts
            for point in same
            if sum(split.part_of.get(name) == part for name in ids) >= FEWEST
        ]
        if len({row.part for row in rows}) > 1 and len(same) > 1:
            told.append((split, _adjusted(rows)))
    return tuple(told)


def to_csv(rows: Sequence[Stratum]) -> str:
    """Return the rows as CSV with a header; None is an empty field."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [item.name for item in fields(Stratum)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue()


def to_json(rows: Sequence[Stratum]) -> str:
    """Return the rows as a JSON list of objects, one line each."""
    return "[\n" + ",\n".join(json.dumps(asdict(row), allow_nan=False) for row in rows) + "\n]\n"


def _stratum(split: Split, part: str, point: Measured, task: str, baseline: str, base: Result) -> Stratum:
    pair = judged(members(point.results[task], ALL, {}), members(base, ALL, {}))
    items = [item for item in pair.new if split.part_of.get(item.id) == part]
    right = sum(item.score for item in items)
    low, high = wilson(right, len(items))
    against = None
    if point.setting != baseline and items:
        against = compare(items, [item for item in pair.base if split.part_of.get(item.id) == part], by_kind=False)
    return Stratum(
        task=task,
        dimension=split.dimension,
        part=part,
        setting=point.setting,
        baseline=baseline,
        n=len(items),
        accuracy=right / len(items) if items else 0.0,
        low=low,
        high=high,
        difference=against and against.difference.value,
        difference_low=against and against.difference.low,
        difference_high=against and against.difference.high,
        p=against and against.p,
        p_holm=None,
    )


def _adjusted(rows: Sequence[Stratum]) -> tuple[Stratum, ...]:
    places = [index for index, row in enumerate(rows) if row.p is not None]
    values = holm([p for row in rows if (p := row.p) is not None])
    adjusted = dict(zip(places, values, strict=True))
    return tuple(replace(row, p_holm=adjusted.get(index)) for index, row in enumerate(rows))


def _quantiles(dimension: str, values: Mapping[str, float], unit: str) -> Split:
    ordered = sorted(values.values())
    # each part's highest value; equal ends make one part
    ends = sorted({ordered[-(-len(ordered) * part // PARTS) - 1] for part in range(1, PARTS + 1)}) if ordered else []
    part_of: dict[str, str] = {}
    lows = [ordered[0], *ends[:-1]] if ends else []
    names = [
        f"{_short(low)} to {_short(high)} {unit}" if place == 0 else f"over {_short(low)} to {_short(high)} {unit}"
        for place, (low, high) in enumerate(zip(lows, ends, strict=True))
    ]
    if names and lows[0] == ends[0]:
        names[0] = f"{_short(ends[0])} {unit}"
    for name, value in values.items():
        part_of[name] = names[next(place for place, end in enumerate(ends) if value <= end)]
    return Split(dimension=dimension, parts=tuple(dict.fromkeys(names)), part_of=part_of)


def _shapes(aspects: Mapping[str, float]) -> Split:
    part_of = {name: next(word for end, word in SHAPES if aspect < end) for name, aspect in aspects.items()}
    there = set(part_of.values())
    return Split(dimension="aspect ratio", parts=tuple(word for _, word in SHAPES if word in there), part_of=part_of)


def _words(dimension: str, words: Mapping[str, str]) -> Split:
    parts = tuple(dict.fromkeys(words.values()))
    return Split(dimension=dimension, parts=parts if len(parts) <= MOST_WORDS else (), part_of=words)


def _facts(of: Mapping[str, Known]) -> list[Split]:
    keys = sorted({key for one in of.values() for key in one.facts})
    found = [_words(key, {name: one.facts[key] for name, one in of.items() if key in one.facts}) for key in keys]
    # in the order of the alphabet: the first sample says nothing
    return [replace(split, parts=tuple(sorted(split.parts))) for split in found]


def _short(value: float) -> str:
    return f"{value:.3g}"
