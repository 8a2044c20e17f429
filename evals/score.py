"""Turn predictions into a Result. Needs no model: the texts are read again, so a run can be scored anew at any time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evals.metrics.accuracy import accuracy, majority
from evals.metrics.interval import clustered_se, effective_n, wilson
from evals.result import FAILED, Prediction, Result, Row, Scored
from evals.sample import Sample
from evals.task import Task

ALL, MEAN = "all", "mean"


def score(
    task: Task,
    samples: Sequence[Sample],
    predictions: Mapping[str, Prediction],
    blind: Mapping[str, Prediction] | None = None,
) -> Result:
    """Return the rows of a run: each kind, each group of the task, "all", and "mean" (of the kinds, unweighted).

    Answers are joined to samples by id. A sample without a prediction is a ValueError; a failed one scores 0. Samples
    whose right answer is not public are in no row.
    """
    secret = sum(not sample.answers for sample in samples)
    samples = [sample for sample in samples if sample.answers]
    scored = score_samples(task, samples, predictions)
    blind_scored = None if blind is None else score_samples(task, samples, blind)
    notes = tuple(_notes(scored))
    if secret:
        notes = (f"{secret} of {secret + len(samples)} samples have no public answer and are in no row", *notes)
    kinds = tuple(dict.fromkeys(sample.kind for sample in samples))
    rows: list[Row] = []
    if len(kinds) > 1:
        rows += [_row(kind, (kind,), task, samples, scored, blind_scored) for kind in kinds]
    for name, members in task.groups.items():
        if any(sample.kind in members for sample in samples):
            rows.append(_row(name, members, task, samples, scored, blind_scored))
    if samples:
        rows.append(_row(ALL, kinds, task, samples, scored, blind_scored))
    if len(kinds) > 1:
        rows.append(mean_row(rows[: len(kinds)], scored))
    return Result(task=task.name, version=task.version, rows=tuple(rows), samples=scored, notes=notes)


def read_again(task: Task, sample: Sample, prediction: Prediction) -> Prediction:
    """Return the prediction with answer, rule and status from the task's parser; a failed one stays as it is."""
    if prediction.status in FAILED:
        return prediction
    parsed = task.parse(sample, prediction.text)
    status = "unparsed" if parsed.answer is None else "ok"
    return replace(prediction, answer=parsed.answer, rule=parsed.rule, status=status)


def score_samples(task: Task, samples: Sequence[Sample], predictions: Mapping[str, Prediction]) -> tuple[Scored, ...]:
    """Return every sample's score, sorted by id; one that is no number in [0, 1] becomes an error and scores 0."""
    missing = [sample.id for sample in samples if sample.id not in predictions]
    if missing:
        raise ValueError(f"{task.name}: {len(missing)} of {len(samples)} samples have no prediction, as {missing[0]}")
    return tuple(_scored(task, sample, predictions[sample.id]) for sample in sorted(samples, key=lambda s: s.id))


def mean_row(rows: Sequence[Row], scored: Sequence[Scored]) -> Row:
    """Return the unweighted mean of the kinds in `rows`; its interval is Wilson's at the effective sample size."""
    of_kind = {row.task: row for row in rows}
    mean = accuracy([row.accuracy for row in rows])
    residuals = [(item.score - of_kind[item.kind].accuracy) / (of_kind[item.kind].n * len(rows)) for item in scored]
    se = clustered_se(residuals, [item.cluster for item in scored])
    n_effective = effective_n(mean, se, len(scored))
    low, high = wilson(mean * n_effective, n_effective)
    blinds = [row.blind for row in rows if row.blind is not None]
    tokens = [row.tokens for row in rows if row.tokens is not None]
    return Row(
        task=MEAN,
        n=len(scored),
        accuracy=mean,
        low=low,
        high=high,
        se=se,
        guess=accuracy([row.guess for row in rows]),
        majority=accuracy([row.majority for row in rows]),
        blind=accuracy(blinds) if len(blinds) == len(rows) else None,
        unparsed=sum(row.unparsed for row in rows),
        failed=sum(row.failed for row in rows),
        tokens=accuracy(tokens) if tokens else None,
    )


def _scored(task: Task, sample: Sample, prediction: Prediction) -> Scored:
    prediction = read_again(task, sample, prediction)
    value = 0.0
    if prediction.status == "ok":
        value = float(task.score(sample, task.parse(sample, prediction.text)))
        # also true for nan
        if not 0 <= value <= 1:
            detail = f"the task's score is {value}, expected a number in [0, 1]"
            prediction, value = replace(prediction, status="error", detail=detail), 0.0
    cluster = sample.cluster or sample.id
    return Scored(
        id=sample.id, kind=sample.kind, cluster=cluster, gold=sample.answer, score=value, prediction=prediction
    )


def _row(
    name: str,
    kinds: tuple[str, ...],
    task: Task,
    samples: Sequence[Sample],
    scored: Sequence[Scored],
    blind: Sequence[Scored] | None,
) -> Row:
    asked = {sample.id: sample for sample in samples if sample.kind in kinds}
    items = [item for item in scored if item.kind in kinds]
    scores = [item.score for item in items]
    mean, n = accuracy(scores), len(scores)
    low, high = wilson(math.fsum(scores), n)
    unparsed = [item for item in items if item.prediction.status == "unparsed"]
    guesses = math.fsum(1 / len(asked[item.id].options) for item in unparsed if asked[item.id].options)
    tokens = [item.prediction.visual_tokens for item in items if item.prediction.status not in FAILED]
    return Row(
        task=name,
        n=n,
        accuracy=mean,
        low=low,
        high=high,
        se=clustered_se([(value - mean) / n for value in scores], [item.cluster for item in items]),
        guess=mean + guesses / n,
        majority=majority(list(asked.values())),
        blind=None if blind is None else accuracy([item.score for item in blind if item.kind in kinds]),
        unparsed=len(unparsed),
        failed=sum(item.prediction.status in FAILED for item in items),
        tokens=accuracy(tokens) if tokens else None,
    )


def _notes(scored: Sequence[Scored]) -> list[str]:
    """Return what a reader must know before the figures: failures by status, and one answer given nearly always."""
    if not scored:
        return ["no samples: nothing was measured"]
    notes = []
    for status, count in sorted(Counter(item.prediction.status for item in scored).items()):
        if status != "ok":
            notes.append(f"{count} of {len(scored)} samples are {status} and score 0")
    answers = Counter(item.prediction.answer for item in scored if item.prediction.status == "ok")
    if answers and len(scored) >= 20:
        answer, count = answers.most_common(1)[0]
        golds = Counter(item.gold for item in scored).most_common(1)[0][1]
        if count > 0.6 * len(scored) and count > 1.5 * golds:
            notes.append(f"degenerate: {answer!r} is the answer to {count} of {len(scored)} questions")
    return notes
