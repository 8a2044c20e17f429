"""The table of a sweep: one row a task and setting, each compared with the baseline and with the setting before it.

Pure: scored results in, rows and their CSV, Markdown and JSON out.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from evals.ablation.stats import Difference, holm, mcnemar, paired_difference
from evals.result import FAILED, Prediction, Result, Row, Scored
from evals.score import ALL, MEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One setting of a sweep as measured: its results by task name, and how many answers came from equal plans.

    groups: of each task, its further rows and the kinds they pool. flops: of one prediction's prompt, or None.
    """

    setting: str
    results: Mapping[str, Result]
    groups: Mapping[str, Mapping[str, tuple[str, ...]]]
    flops: Callable[[Prediction], int] | None = None
    shared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One line of the table. Shares and differences are fractions of 1; None where a value was not measured.

    low, high: 95 % interval of the accuracy. difference: to the setting `baseline` on the same samples, with its 95 %
    interval; p: paired and two-sided, by `test`; p_holm: adjusted for all comparisons of the same family. wins, losses:
    samples that only this setting or only the baseline answers rightly. step, step_p: the same against the setting
    before. tokens: visual tokens a sample, measured; tflops: a sample, encoder, projector and prefill; seconds: a
    sample.
    """

    task: str
    setting: str
    n: int
    accuracy: float
    low: float
    high: float
    majority: float
    blind: float | None
    baseline: str
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    p_holm: float | None
    test: str
    wins: int
    losses: int
    step: float | None
    step_p: float | None
    tokens: float | None
    tokens_median: float | None
    tokens_p95: float | None
    tiles: float | None
    tflops: float | None
    seconds: float | None
    unparsed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same samples under two settings: the difference, its test, and the flips."""

    difference: Difference
    p: float
    test: str
    wins: int
    losses: int


def build_table(points: Sequence[Measured], baseline: str) -> tuple[SweepRow, ...]:
    """Return the rows, grouped by task in the order of the results, settings in the order of `points`.

    Points with other samples than the baseline are compared with the first one that has theirs. Raises ValueError
    when the baseline is not among the points.
    """
    names = [point.setting for point in points]
    if baseline not in names:
        raise ValueError(f"table: baseline {baseline!r} is not among the settings {names}")
    rows: list[SweepRow] = []
    for task in points[0].results:
        for name in _names(points[0].results[task]):
            label = name if len(points[0].results) == 1 else f"{task}/{name}"
            for index, point in enumerate(points):
                peers = [other for other in points if _same_samples(other, point, task)]
                base = next((other for other in peers if other.setting == baseline), peers[0])
                before = points[index - 1] if index and points[index - 1] in peers else None
                rows.append(_row(label, name, task, point, base, before))
    return _adjusted(rows)


def compare(new: Sequence[Scored], base: Sequence[Scored], by_kind: bool) -> Comparison:
    """Return how `new` differs from `base` on the same samples; by_kind: the mean over kinds, each weighing the same.

    0/1 scores of one sample a cluster are tested by McNemar's mid-p, anything else by the clustered t test.
    Raises ValueError when the samples differ.
    """
    if [item.id for item in new] != [item.id for item in base]:
        raise ValueError(f"compare: {len(new)} and {len(base)} samples that are not the same")
    clusters = [item.cluster for item in new]
    strata = [item.kind if by_kind else "" for item in new]
    difference = paired_difference([i.score for i in new], [i.score for i in base], clusters, strata)
    better = [item.score > other.score for item, other in zip(new, base, strict=True)]
    worse = [item.score < other.score for item, other in zip(new, base, strict=True)]
    flips = mcnemar(better, worse)
    binary = all(item.score in (0.0, 1.0) for item in (*new, *base))
    single = binary and len(set(clusters)) == len(clusters) and not by_kind
    return Comparison(
        difference=difference,
        p=flips.p_mid if single else difference.p,
        test="McNemar mid-p" if single else "clustered t",
        wins=flips.wins,
        losses=flips.losses,
    )


def members(result: Result, name: str, groups: Mapping[str, tuple[str, ...]]) -> tuple[Scored, ...]:
    """Return the samples that the row `name` of a result pools, sorted by id."""
    if name in (ALL, MEAN):
        return result.samples
    kinds = groups.get(name, (name,))
    return tuple(item for item in result.samples if item.kind in kinds)


def to_json(rows: Sequence[SweepRow]) -> str:
    """Return the rows as a JSON list of objects, one line each; values that are no number are null."""
    lines = [json.dumps({k: _finite(v) for k, v in asdict(row).items()}, allow_nan=False) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def to_csv(rows: Sequence[SweepRow]) -> str:
    """Return the rows as CSV with a header; None is an empty field."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(SweepRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _finite(v) for k, v in asdict(row).items()} for row in rows)
    return out.getvalue()


def to_markdown(rows: Sequence[SweepRow]) -> str:
    """Return the rows as a Markdown table for people: rounded, intervals in brackets."""
    lines = ["| " + " | ".join(MARKDOWN_HEAD) + " |", "| --- | --- |" + " ---: |" * (len(MARKDOWN_HEAD) - 2)]
    lines += ["| " + " | ".join(readable(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


MARKDOWN_HEAD = (
    "task", "setting", "n", "accuracy", "95 %", "difference", "95 % of it", "p (Holm)", "majority", "blind", "tokens",
    "GFLOP", "seconds", "unparsed", "failed",
)  # fmt: skip


def readable(row: SweepRow) -> tuple[str, ...]:
    """Return the cells of one row as text, in the order of MARKDOWN_HEAD."""
    return (
        row.task,
        row.setting,
        str(row.n),
        f"{row.accuracy:.3f}",
        f"[{row.low:.3f}, {row.high:.3f}]",
        "baseline" if row.difference is None else f"{row.difference:+.3f}",
        "" if row.difference_low is None else f"[{row.difference_low:+.3f}, {row.difference_high:+.3f}]",
        p_text(row.p_holm),
        f"{row.majority:.3f}",
        _text(row.blind, "{:.3f}"),
        _text(row.tokens, "{:.1f}"),
        _text(None if row.tflops is None else 1000 * row.tflops, "{:.3g}"),
        _text(row.seconds, "{:.3f}"),
        str(row.unparsed),
        str(row.failed),
    )


def p_text(p: float | None) -> str:
    """Return a p value as printed in tables: three digits, or the bound that it is below."""
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _row(label: str, name: str, task: str, point: Measured, base: Measured, before: Measured | None) -> SweepRow:
    result = point.results[task]
    found: Row = result.row(name)
    items = members(result, name, point.groups.get(task, {}))
    reached = [item.prediction for item in items if item.prediction.status not in FAILED]
    tokens = sorted(prediction.visual_tokens for prediction in reached)
    flops = None if point.flops is None else _mean([point.flops(prediction) for prediction in reached])
    against = None if point is base else _compare_row(name, task, point, base)
    step = None if before is None else _compare_row(name, task, point, before)
    return SweepRow(
        task=label,
        setting=point.setting,
        n=found.n,
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        majority=found.majority,
        blind=found.blind,
        baseline=base.setting,
        difference=against and against.difference.value,
        difference_low=against and against.difference.low,
        difference_high=against and against.difference.high,
        p=against and against.p,
        p_holm=None,
        test=against.test if against else "",
        wins=against.wins if against else 0,
        losses=against.losses if against else 0,
        step=step and step.difference.value,
        step_p=step and step.p,
        tokens=found.tokens,
        tokens_median=None if not tokens else float(tokens[len(tokens) // 2]),
        tokens_p95=None if not tokens else float(tokens[min(len(tokens) - 1, math.ceil(0.95 * len(tokens)) - 1)]),
        tiles=_mean([prediction.tiles for prediction in reached]),
        tflops=None if flops is None else flops / 1e12,
        seconds=_mean([item.prediction.seconds for item in items]),
        unparsed=found.unparsed,
        failed=found.failed,
    )


def _compare_row(name: str, task: str, new: Measured, base: Measured) -> Comparison:
    groups = new.groups.get(task, {})
    pair = members(new.results[task], name, groups), members(base.results[task], name, groups)
    return compare(*pair, by_kind=name == MEAN)


def _names(result: Result) -> list[str]:
    names = [row.task for row in result.rows]
    counts = {row.n for row in result.rows if row.task not in (ALL, MEAN)}
    # with as many samples of each kind, "all" says the same as "mean"
    return [name for name in names if name != ALL or MEAN not in names or len(counts) > 1]


def _same_samples(one: Measured, other: Measured, task: str) -> bool:
    ours, theirs = one.results[task].samples, other.results[task].samples
    return one is other or [item.id for item in ours] == [item.id for item in theirs]


def _adjusted(rows: Sequence[SweepRow]) -> tuple[SweepRow, ...]:
    # two families: the single kinds, and the pooled rows that sum them up
    adjusted: dict[int, float] = {}
    for pooled in (False, True):
        family = [i for i, row in enumerate(rows) if row.p is not None and _pooled(row.task) == pooled]
        values = holm([p for i in family if (p := rows[i].p) is not None])
        adjusted.update(zip(family, values, strict=True))
    return tuple(replace(row, p_holm=adjusted.get(i)) for i, row in enumerate(rows))


def _pooled(label: str) -> bool:
    return label.rsplit("/", 1)[-1] in (ALL, MEAN)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
