"""The rows that anyres-bench prints and writes: what was timed, how long it took, and against what."""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import transformers

from kernels.bench.clock import ratio
from kernels.bench.rows import device_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One implementation's time for one piece of work.

    milliseconds: median and quartiles over rounds. peer: what per_peer compares with, as the median of the ratios round
    by round; per_floor the same to the least that the work takes, None where no floor was timed. note: what else was
    measured.
    """

    part: str
    work: str
    implementation: str
    rounds: int
    milliseconds: float
    quartile_1: float
    quartile_3: float
    peer: str
    per_peer: float
    per_floor: float | None = None
    note: str = ""


def figures(
    part: str,
    work: str,
    seconds: Mapping[str, Sequence[float]],
    peer: str,
    floor: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> list[Figure]:
    """Return one row an implementation from its seconds, one a round."""
    rows = []
    for name, mine in seconds.items():
        first, _, third = statistics.quantiles(mine, n=4, method="inclusive") if len(mine) > 1 else [mine[0]] * 3
        rows.append(
            Figure(
                part=part,
                work=work,
                implementation=name,
                rounds=len(mine),
                milliseconds=round(statistics.median(mine) * 1e3, 3),
                quartile_1=round(first * 1e3, 3),
                quartile_3=round(third * 1e3, 3),
                peer=peer,
                per_peer=round(ratio(list(mine), list(seconds[peer])), 4),
                per_floor=None if floor is None else round(ratio(list(mine), list(seconds[floor])), 4),
                note=(notes or {}).get(name, ""),
            )
        )
    return rows


def describe(row: Figure) -> str:
    """Return one row as a line for a terminal."""
    times = f"{row.milliseconds:11.2f} ms [{row.quartile_1:.2f}, {row.quartile_3:.2f}]"
    floor = "" if row.per_floor is None else f"  {row.per_floor:6.2f} x floor"
    note = f"  {row.note}" if row.note else ""
    peer = f"{row.per_peer:7.3f} x {row.peer}"
    return f"{row.work:<38} {row.implementation:<26}{times:<38} {peer}{floor}{note}"


def machine() -> dict[str, str | int | float]:
    """Return what the figures were measured on, and how many processes waited for a core at this moment."""
    return {
        "device": device_name("cpu"),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write(path: Path, rows: Sequence[Figure], where: Mapping[str, str | int | float]) -> None:
    """Add rows to a CSV, which gets its header with its first rows."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*where, *(field.name for field in fields(Figure))], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows({**where, **asdict(row)} for row in rows)
