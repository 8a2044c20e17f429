"""Which rows of a table sum a sweep up, and which are single tasks."""

from __future__ import annotations

from collections.abc import Sequence

from evals.ablation.table import SweepRow
from evals.score import ALL, MEAN


def is_sum(task: str) -> bool:
    """Tell whether a row of this label pools several kinds of sample."""
    return task.rsplit("/", 1)[-1] in (MEAN, ALL)


def overall(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """Return the rows that sum a sweep up: the mean over kinds, else all samples, one a setting."""
    names = [row.task for row in rows]
    found = [next((name for name in names if name.rsplit("/", 1)[-1] == word), "") for word in (MEAN, ALL)]
    name = next((task for task in found if task), names[-1] if names else "")
    return [row for row in rows if row.task == name]


def kinds(rows: Sequence[SweepRow]) -> list[str]:
    """Return the tasks that are not sums of others, in order; the sum when there is nothing else."""
    single = [task for task in dict.fromkeys(row.task for row in rows) if not is_sum(task)]
    return single or [row.task for row in overall(rows)[:1]]
