"""Has the judge changed? A set of answers with the verdicts it once gave, judged again each time; how far it moved.

The file: JSON lines with "id", "question", "truth", "answer" and the recorded verdict, "score" and, where the form
decides, "correct" (true or false); "facts", texts by name, where the form uses them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.judge.form import JudgeForm, Verdict
from evals.judge.judge import Judge, JudgeQuestion, JudgeReply
from evals.sample import Sample

_TEXTS = ("id", "question", "truth", "answer")
_KNOWN = {*_TEXTS, "score", "correct", "facts"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer and the verdict that was recorded for it."""

    sample: Sample
    answer: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The cases of a file and its SHA-256."""

    name: str
    sha256: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How a judge's verdicts differ from the recorded ones, over the cases that it gave a verdict on.

    n: cases; failed: those without a verdict now. agreement: share with the same `correct`, None where the form does
    not decide. same_score: share with the same score. shift: mean of new less recorded score, se its standard error;
    these are None without two verdicts.
    """

    calibration: str
    sha256: str
    form: str
    n: int
    failed: int
    agreement: float | None
    same_score: float | None
    shift: float | None
    se: float | None

    @property
    def note(self) -> str:
        """Return the drift in words for a report."""
        if self.same_score is None or self.shift is None:
            return f"judge drift: unknown, {self.failed} of {self.n} calibration answers have no verdict"
        agreement = "" if self.agreement is None else f"{100 * self.agreement:.1f} % of decisions and "
        spread = "" if self.se is None else f" (standard error {self.se:.3f})"
        return (
            f"judge drift on {self.n} calibration answers: {agreement}{100 * self.same_score:.1f} % of scores as "
            f"recorded, mean shift {self.shift:+.3f}{spread}, {self.failed} without a verdict"
        )


def read_calibration(path: Path) -> Calibration:
    """Return the cases of a file; a ValueError names the line that is not as expected."""
    data = path.read_bytes()
    cases: dict[str, Case] = {}
    for number, line in enumerate(data.decode("utf-8").splitlines(), start=1):
        if line.strip():
            case = _case(line, f"{path}, line {number}")
            if case.sample.id in cases:
                raise ValueError(f"{path}, line {number}: a second case {case.sample.id}")
            cases[case.sample.id] = case
    if not cases:
        raise ValueError(f"{path}: holds no cases")
    return Calibration(name=path.name, sha256=hashlib.sha256(data).hexdigest(), cases=tuple(cases.values()))


def write_calibration(path: Path, cases: Sequence[Case]) -> None:
    """Write cases as `read_calibration` reads them; a file that is there is a ValueError: its verdicts are kept."""
    lines = [json.dumps(_record(case)) + "\n" for case in cases]
    try:
        with path.open("x", encoding="ascii") as file:
            file.writelines(lines)
    except FileExistsError:
        raise ValueError(f"{path}: is there already; recorded verdicts are not replaced") from None


def rejudge(judge: Judge, form: JudgeForm, calibration: Calibration) -> tuple[Drift, dict[str, JudgeReply]]:
    """Ask about every case anew, and return the drift and the replies by the case's id.

    Raises ValueError for a form that sees media or needs a partner: a file of words cannot hold them.
    """
    if form.seen:
        raise ValueError(f"calibration: {form.name} shows the judge media, which {calibration.name} does not hold")
    questions = [
        JudgeQuestion(
            id=case.sample.id, system=form.system, text=form.ask((case.sample,), (case.answer,)), answer=case.answer
        )
        for case in calibration.cases
    ]
    replies = {question.id: reply for question, reply in judge.ask(questions)}
    return drift(form, calibration, replies), dict(sorted(replies.items()))


def drift(form: JudgeForm, calibration: Calibration, replies: Mapping[str, JudgeReply]) -> Drift:
    """Return how the verdicts in `replies` differ from the recorded ones."""
    pairs: list[tuple[Verdict, Verdict]] = []
    for case in calibration.cases:
        reply = replies.get(case.sample.id)
        verdict = None if reply is None or reply.text is None else form.read(case.sample, reply.text)
        if verdict is not None:
            pairs.append((case.verdict, verdict))
    shifts = [now.score - then.score for then, now in pairs]
    decided = [now.correct == then.correct for then, now in pairs if then.correct is not None]
    shift = math.fsum(shifts) / len(shifts) if shifts else None
    return Drift(
        calibration=calibration.name,
        sha256=calibration.sha256,
        form=form.name,
        n=len(calibration.cases),
        failed=len(calibration.cases) - len(pairs),
        agreement=sum(decided) / len(decided) if decided else None,
        same_score=sum(value == 0 for value in shifts) / len(shifts) if shifts else None,
        shift=shift,
        se=None if shift is None or len(shifts) < 2 else _standard_error(shifts, shift),
    )


def _standard_error(values: Sequence[float], mean: float) -> float:
    n = len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def _case(line: str, where: str) -> Case:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: no JSON: {error}") from error
    if not isinstance(record, dict) or not set(record) <= _KNOWN or not {*_TEXTS, "score"} <= set(record):
        raise ValueError(f"{where}: expected an object with {', '.join(_TEXTS)}, score, and perhaps correct and facts")
    texts = [record[name] for name in _TEXTS]
    facts, score, correct = record.get("facts", {}), record["score"], record.get("correct")
    if not isinstance(facts, dict) or not all(isinstance(text, str) for text in [*texts, *facts.values()]):
        raise ValueError(f"{where}: expected texts for {', '.join(_TEXTS)} and for facts")
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise ValueError(f"{where}: score is {score!r}, expected a number")
    if not isinstance(correct, bool | None):
        raise ValueError(f"{where}: correct is {correct!r}, expected true or false")
    sample = Sample(id=record["id"], media=(), question=record["question"], answers=(record["truth"],), facts=facts)
    return Case(sample=sample, answer=record["answer"], verdict=Verdict(score=float(score), correct=correct))


def _record(case: Case) -> dict[str, object]:
    return {
        "id": case.sample.id,
        "question": case.sample.question,
        "truth": case.sample.answer,
        "answer": case.answer,
        "score": case.verdict.score,
        **({} if case.verdict.correct is None else {"correct": case.verdict.correct}),
        **({"facts": dict(case.sample.facts)} if case.sample.facts else {}),
    }
