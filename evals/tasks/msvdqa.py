"""MSVD-QA: 13,157 test questions about 520 clips; files, metric and traps in evals.tasks.zeroshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from evals.prompts import OPEN
from evals.tasks.judged import Metric
from evals.tasks.zeroshot import ZeroShotQa


@dataclass(frozen=True, slots=True, kw_only=True)
class MsvdQa(ZeroShotQa):
    """msvdqa: `mapping` is youtube_mapping.txt, for the original packaging with clips under their YouTube names."""

    questions: Path
    videos: Path
    answers: Path | None = None
    mapping: Path | None = None
    metric: Metric = "judge"
    prompt_form: str = OPEN
    max_new_tokens: int = 64
    name: str = "msvdqa"
    numbered: ClassVar[str] = "vid{}"

    def renamed(self) -> Mapping[str, str]:
        """Return the YouTube names by vidN; a line that is not "name vidN" is a ValueError naming it."""
        if self.mapping is None:
            return {}
        names = {}
        for number, line in enumerate(Path(self.mapping).read_text(encoding="utf-8").splitlines(), start=1):
            parts = line.split()
            if parts and len(parts) != 2:
                raise ValueError(f"{self.mapping}:{number}: {line!r}, expected a name and vidN")
            names.update({parts[1]: parts[0]} if parts else {})
        return names
