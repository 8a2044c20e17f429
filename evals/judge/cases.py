"""Take a calibration set out of a run: answers with the verdicts that its judge gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.judge.calibration import Case
from evals.judge.form import Verdict
from evals.judge.forms import question, truth
from evals.judge.run import Judged
from evals.result import Prediction
from evals.sample import Sample
from evals.task import Task


def cases_of(
    task: Task, samples: Sequence[Sample], predictions: Mapping[str, Prediction], judged: Judged, count: int
) -> list[Case]:
    """Return up to `count` judged answers, evenly spread, with their verdicts, for a calibration set.

    Raises ValueError where there are none: nothing is judged, or not by the task's own form.
    """
    found = [
        Case(
            sample=Sample(
                id=sample.id, media=(), question=question(sample), answers=(truth(sample),), facts=sample.facts
            ),
            answer=predictions[sample.id].text,
            verdict=verdict,
        )
        for sample in samples
        if task.judge is not None
        and task.judge_of(sample) == task.judge
        and isinstance(verdict := judged.outcomes.get(sample.id), Verdict)
    ]
    if not found:
        raise ValueError(f"{task.name}: no verdict by a form of its own to record")
    kept = min(count, len(found))
    return [found[index * len(found) // kept] for index in range(kept)]
