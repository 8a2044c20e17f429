"""The same comparison as commands: twelve anyres-eval processes, one after the other, against one anyres-ablate.

Each process starts Python, loads the model and reads the pages' files, as a user's does. anyres-ablate also compares
the points and writes its plots and report; it does not answer samples a second time to time them (timed=0).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.task import Task

GRIDS, CAPS = ("max2x2", "max3x3", "max4x4", "max6x6"), (4, 9, 16)
# the widest plans are longer than the pocket model's trained context
COMMON = ("model=pocket", "rope_factor=4", "task=folder", "task.max_new_tokens=4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Both ways as commands; seconds of all their processes, CPU seconds likewise."""

    pages: int
    commands: int
    answers: int
    separate_seconds: float
    sweep_seconds: float
    separate_cpu_seconds: float
    sweep_cpu_seconds: float
    different: int


class _Clock:
    """Wall time, and the processor time of all processes that have ended."""

    def __init__(self) -> None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.wall, self.cpu = time.perf_counter(), used.ru_utime + used.ru_stime


def measure_commands(task: Task, scratch: Path) -> Commands:
    """Return what both ways take for a task's pages, whose files are written to `scratch`.

    Raises subprocess.CalledProcessError where a command fails.
    """
    file = _files(task, scratch / "pages")
    points = [(grid, cap) for grid in GRIDS for cap in CAPS]
    start = _Clock()
    for grid, cap in points:
        words = [f"grid={grid}", f"grid.target_tiles={cap}", f"out={scratch / f'{grid}-{cap}'}", "alarm=null"]
        _call("evals.main", file, words)
    middle = _Clock()
    axes = (
        f"[{{name:largest grid,key:grid,values:[{','.join(GRIDS)}]}},"
        f"{{name:cap,key:grid.target_tiles,values:[{','.join(map(str, CAPS))}]}}]"
    )
    sweep = scratch / "sweep"
    _call("evals.ablation.main", file, ["ablation=grid-and-target", f"ablation.axes={axes}", "timed=0", f"out={sweep}"])
    end = _Clock()
    # cells are numbered in the order of the points
    cells = sorted((sweep / "cells").iterdir())
    if len(cells) != len(points):
        raise ValueError(f"{sweep}: expected {len(points)} cells, found {[cell.name for cell in cells]}")
    pairs = [
        (_texts(scratch / f"{grid}-{cap}"), _texts(cell / "folder"))
        for (grid, cap), cell in zip(points, cells, strict=True)
    ]
    return Commands(
        pages=len(task.samples()),
        commands=len(points),
        answers=sum(len(alone) for alone, _ in pairs),
        separate_seconds=middle.wall - start.wall,
        sweep_seconds=end.wall - middle.wall,
        separate_cpu_seconds=middle.cpu - start.cpu,
        sweep_cpu_seconds=end.cpu - middle.cpu,
        different=sum(alone[key] != together[key] for alone, together in pairs for key in alone),
    )


def _files(task: Task, folder: Path) -> Path:
    """Write a task's pages and questions as a user's folder, and return its JSONL."""
    folder.mkdir(parents=True)
    lines = []
    for sample in task.samples():
        (medium,) = sample.media
        name = f"{medium.key}.png"
        if not (folder / name).exists():
            medium.draw().save(folder / name)
        record = {"id": sample.id, "image": name, "question": sample.question, "answers": list(sample.answers)}
        lines.append(json.dumps(record) + "\n")
    file = folder / "pages.jsonl"
    file.write_text("".join(lines), encoding="utf-8")
    return file


def _call(module: str, file: Path, words: Sequence[str]) -> None:
    subprocess.run(
        [sys.executable, "-m", module, *COMMON, f"task.file={file}", *words],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _texts(folder: Path) -> dict[str, str]:
    """Return the answers of a run folder by id. Raises ValueError for a sample that has none."""
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["prediction"]["status"] not in ("ok", "unparsed"):
            raise ValueError(f"{folder}: {line['id']} is {line['prediction']['status']}")
    return {line["id"]: line["prediction"]["text"] for line in lines}
