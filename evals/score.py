"""Turn predictions into a Result. Needs no model: the texts are read again, so a run can be scored anew at any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evals.judge.form import JudgeFailure, JudgeForm, Verdict
from evals.metrics.verdicts import verdict_figures
from evals.result import FAILED, UNJUDGED, Prediction, Result, Row, Scored
from evals.sample import Sample
from evals.tally import MEAN, figure_row, kind_row, mean_row
from evals.task import Task

ALL = "all"
# above this share of judge's errors a run is not valid: what is missing may be what is hard
MAX_JUDGE_ERRORS = 0.02

Verdicts = Mapping[str, Verdict | JudgeFailure]
__all__ = ["ALL", "MAX_JUDGE_ERRORS", "MEAN", "Verdicts", "read_again", "score", "score_samples"]


def score(
    task: Task,
    samples: Sequence[Sample],
    predictions: Mapping[str, Prediction],
    blind: Mapping[str, Prediction] | None = None,
    *,
    verdicts: Verdicts | None = None,
    blind_verdicts: Verdicts | None = None,
    max_judge_errors: float = MAX_JUDGE_ERRORS,
) -> Result:
    """Return the rows of a run: each kind, each group of the task, "all", and "mean" (of the kinds, unweighted).

    Answers are joined to samples by id. A sample without a prediction is a ValueError; a failed one scores 0. Samples
    whose right answer is not public are in no row. With `verdicts`, a judge's by sample id, answers score what it
    gave; one that it failed on, or that has no verdict, is a "judge_error" and in no mean. The figures follow the
    rows. Without verdicts a task with a judge is scored by its own comparison, as a note says.
    """
    secret = sum(not sample.answers for sample in samples)
    samples = [sample for sample in samples if sample.answers]
    scored = score_samples(task, samples, predictions, verdicts)
    form = _form(task, samples)
    assists = form is not None and form.unparsed_only
    blind_scored = None
    # answers that only a judge scores are not comparable with ones that it has not seen
    if blind is not None and (verdicts is None or blind_verdicts is not None or assists):
        blind_scored = score_samples(task, samples, blind, blind_verdicts)
    notes = tuple(_notes(scored))
    if secret:
        notes = (f"{secret} of {secret + len(samples)} samples have no public answer and are in no row", *notes)
    if verdicts is None and form is not None and not assists:
        notes = (f"not judged: scored by the task's own comparison, in [0, 1], not by {form.name}", *notes)
    top = _top(task, samples, verdicts)
    helped = verdicts is not None and any(form.unparsed_only for form in _forms(task, samples))
    figures = (*task.figures, *verdict_figures(scored, top, helped))
    return Result(
        task=task.name,
        version=task.version,
        rows=tuple(_rows(task, samples, scored, blind_scored, top)),
        samples=scored,
        notes=notes,
        figures=tuple(figure_row(figure, scored) for figure in figures) if scored else (),
        top=top,
        invalid=_invalid(scored, max_judge_errors),
    )


def _rows(
    task: Task, samples: Sequence[Sample], scored: Sequence[Scored], blind: Sequence[Scored] | None, top: float
) -> list[Row]:
    kinds = tuple(dict.fromkeys(sample.kind for sample in samples))
    rows: list[Row] = []
    if len(kinds) > 1:
        rows += [kind_row(kind, (kind,), task, samples, scored, blind, top) for kind in kinds]
    for name, members in task.groups.items():
        if any(sample.kind in members for sample in samples):
            rows.append(kind_row(name, members, task, samples, scored, blind, top))
    if samples:
        rows.append(kind_row(ALL, kinds, task, samples, scored, blind, top))
    if len(kinds) > 1:
        rows.append(mean_row(rows[: len(kinds)], scored, top))
    return rows


def read_again(task: Task, sample: Sample, prediction: Prediction) -> Prediction:
    """Return the prediction with answer, rule and status from the task's parser; a failed one stays as it is."""
    if prediction.status in FAILED:
        return prediction
    parsed = task.parse(sample, prediction.text)
    status = "unparsed" if parsed.answer is None else "ok"
    return replace(prediction, answer=parsed.answer, rule=parsed.rule, status=status)


def score_samples(
    task: Task, samples: Sequence[Sample], predictions: Mapping[str, Prediction], verdicts: Verdicts | None = None
) -> tuple[Scored, ...]:
    """Return every sample's score, sorted by id; one that is no number in [0, top] becomes an error and scores 0."""
    missing = [sample.id for sample in samples if sample.id not in predictions]
    if missing:
        raise ValueError(f"{task.name}: {len(missing)} of {len(samples)} samples have no prediction, as {missing[0]}")
    ordered, top = sorted(samples, key=lambda sample: sample.id), _top(task, samples, verdicts)
    return tuple(_scored(task, sample, predictions[sample.id], verdicts, top) for sample in ordered)


def _scored(task: Task, sample: Sample, prediction: Prediction, verdicts: Verdicts | None, top: float) -> Scored:
    prediction = read_again(task, sample, prediction)
    form, value, verdict = task.judge_of(sample), 0.0, None
    assists = form is not None and form.unparsed_only
    found = None if verdicts is None else verdicts.get(sample.id)
    if isinstance(found, Verdict) and prediction.status not in FAILED:
        verdict = found
    failed = isinstance(found, JudgeFailure) or (found is None and verdicts is not None and form is not None)
    if verdict is not None and not assists:
        value = float(verdict.score)
    elif failed and not assists and prediction.status == "ok":
        detail = found.detail if isinstance(found, JudgeFailure) else "the judge was not asked"
        prediction = replace(prediction, status=UNJUDGED, detail=detail)
    elif prediction.status == "ok":
        value = float(task.score(sample, task.parse(sample, prediction.text)))
    # also true for nan
    if not 0 <= value <= top:
        detail = f"the score is {value}, expected a number in [0, {top:g}]"
        prediction, value, verdict = replace(prediction, status="error", detail=detail), 0.0, None
    return Scored(
        id=sample.id,
        kind=sample.kind,
        cluster=sample.cluster or sample.id,
        gold=sample.answer,
        score=value,
        prediction=prediction,
        verdict=verdict,
    )


def _form(task: Task, samples: Sequence[Sample]) -> JudgeForm | None:
    """Return the form of the first sample that a judge scores, else of the first that it helps to read."""
    forms = _forms(task, samples)
    return next((form for form in forms if not form.unparsed_only), forms[0] if forms else None)


def _forms(task: Task, samples: Sequence[Sample]) -> list[JudgeForm]:
    return [form for sample in samples if (form := task.judge_of(sample)) is not None]


def _top(task: Task, samples: Sequence[Sample], verdicts: Verdicts | None) -> float:
    """Return the best score; without a judge's verdicts the task's own comparison gives at most 1."""
    form = _form(task, samples)
    if form is None:
        return task.top
    return 1.0 if verdicts is None or form.unparsed_only else form.top


def _invalid(scored: Sequence[Scored], most: float) -> str:
    errors = sum(not item.judged for item in scored)
    if errors <= most * len(scored):
        return ""
    return f"the judge failed on {errors} of {len(scored)} samples, more than {100 * most:g} %"


def _notes(scored: Sequence[Scored]) -> list[str]:
    """Return what a reader must know before the figures: failures by status, and one answer given nearly always."""
    if not scored:
        return ["no samples: nothing was measured"]
    notes = []
    for status, count in sorted(Counter(item.prediction.status for item in scored).items()):
        if status == UNJUDGED:
            share = 100 * count / len(scored)
            notes.append(f"{count} of {len(scored)} samples ({share:.1f} %) are {status} and in no mean")
        elif status != "ok":
            notes.append(f"{count} of {len(scored)} samples are {status} and score 0")
    answers = Counter(item.prediction.answer for item in scored if item.prediction.status == "ok")
    if answers and len(scored) >= 20:
        answer, count = answers.most_common(1)[0]
        golds = Counter(item.gold for item in scored).most_common(1)[0][1]
        if count > 0.6 * len(scored) and count > 1.5 * golds:
            notes.append(f"degenerate: {answer!r} is the answer to {count} of {len(scored)} questions")
    return notes
