"""MSRVTT-QA: 72,821 test questions about 2,990 clips; files, metric and traps in evals.tasks.zeroshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from evals.prompts import OPEN
from evals.tasks.judged import Metric
from evals.tasks.zeroshot import ZeroShotQa


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrvttQa(ZeroShotQa):
    """msrvttqa: `questions` and `answers` the two files, or `questions` alone; `videos` the clips."""

    questions: Path
    videos: Path
    answers: Path | None = None
    metric: Metric = "judge"
    prompt_form: str = OPEN
    max_new_tokens: int = 64
    name: str = "msrvttqa"
    numbered: ClassVar[str] = "video{}"
