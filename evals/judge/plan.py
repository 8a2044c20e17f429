"""Which questions a judge is asked about a run: one for each answer, or for each pair of partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.judge.form import JudgeFailure, JudgeForm
from evals.judge.judge import JudgeQuestion
from evals.judge.ledger import Key
from evals.result import FAILED, Prediction
from evals.sample import Sample
from evals.score import read_again
from evals.task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """One question to the judge: its form, the sample it is read with, and the ids that its verdict holds for."""

    form: JudgeForm
    sample: Sample
    question: JudgeQuestion
    ids: tuple[str, ...]

    def key(self, judge: str) -> Key:
        """Return what the reply of the judge with this identity is found by."""
        return Key(
            form=self.form.name,
            sha256=self.form.sha256,
            judge=judge,
            sample=self.question.id,
            digest=self.question.digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """All questions, and the samples that cannot be judged, by id."""

    asked: tuple[Asked, ...]
    failures: Mapping[str, JudgeFailure]


def plan_judging(
    task: Task, samples: Sequence[Sample], predictions: Mapping[str, Prediction], form: JudgeForm | None = None
) -> JudgePlan:
    """Return what is asked about answers that a model gave; `form` in place of the task's own.

    Left out are failed predictions, empty answers, samples whose right answer is not public and, where the form only
    assists the task's parser, answers that the parser reads. Raises ValueError where no sample has a form.
    """
    forms = {sample.id: form or task.judge_of(sample) for sample in samples if sample.answers}
    if samples and not any(forms.values()):
        raise ValueError(f"{task.name}: is not judged, and no judge.form is given")
    read = {sample.id: read_again(task, sample, predictions[sample.id]) for sample in samples}
    by_id = {sample.id: sample for sample in samples}
    asked: list[Asked] = []
    failures: dict[str, JudgeFailure] = {}
    for sample in samples:
        chosen = forms.get(sample.id)
        if chosen is None or not _judged(chosen, read[sample.id]):
            continue
        group = sorted({sample.id, *chosen.partners(sample)})
        failure = _broken(group, read)
        if failure is not None:
            failures[sample.id] = failure
        elif sample.id == next(name for name in group if _judged(chosen, read[name])):
            asked.append(_asked(chosen, [by_id[name] for name in group], read))
    return JudgePlan(asked=tuple(asked), failures=failures)


def _judged(form: JudgeForm, prediction: Prediction) -> bool:
    return prediction.status == ("unparsed" if form.unparsed_only else "ok")


def _broken(group: Sequence[str], read: Mapping[str, Prediction]) -> JudgeFailure | None:
    for name in group:
        if name not in read:
            return JudgeFailure(detail=f"its partner {name} is not among the samples")
        if read[name].status in FAILED:
            return JudgeFailure(detail=f"its partner {name} has no answer: {read[name].status}")
    return None


def _asked(form: JudgeForm, group: Sequence[Sample], read: Mapping[str, Prediction]) -> Asked:
    first, answers = group[0], [read[sample.id].text for sample in group]
    question = JudgeQuestion(
        id=first.id,
        system=form.system,
        text=form.ask(group, answers),
        answer=answers[0],
        media=first.media if form.seen else (),
    )
    ids = tuple(sample.id for sample in group if _judged(form, read[sample.id]))
    return Asked(form=form, sample=first, question=question, ids=ids)
