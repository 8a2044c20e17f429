"""The judge that a composed configuration names, as evals.finish asks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evals.finish import Judging
from evals.judge.build import build_judge, opened
from evals.judge.calibration import read_calibration, write_calibration
from evals.judge.cases import cases_of
from evals.judge.run import RECORD, Judged, judge_run
from evals.result import Prediction
from evals.sample import Sample
from evals.task import Task


@contextmanager
def judging(mapping: Mapping[str, Any] | None, steps: str) -> Iterator[Judging | None]:
    """Yield what asks the judge of a `judge` group; None where there is none, or where it is not its turn.

    Raises ValueError for steps that need one.
    """
    if mapping is None and steps == "judge":
        raise ValueError("steps=judge: needs a judge, as judge=endpoint judge.url=... judge.model=...")
    if mapping is None or steps == "score":
        yield None
        return
    settings, spec = build_judge(mapping)
    calibration = None if settings.calibration is None else read_calibration(settings.calibration)
    with opened(spec) as judge:

        def ask(
            task: Task,
            samples: Sequence[Sample],
            predictions: Mapping[str, Prediction],
            folder: Path,
            record: str = RECORD,
        ) -> Judged:
            # drift is told once a run
            first = record == RECORD
            judged = judge_run(
                task,
                samples,
                predictions,
                judge,
                folder,
                form=settings.named_form,
                calibration=calibration if first else None,
                record=record,
            )
            if first and settings.record is not None and not settings.record.exists():
                cases = cases_of(task, samples, predictions, judged, settings.record_cases)
                write_calibration(settings.record, cases)
            return judged

        yield ask
