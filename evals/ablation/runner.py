"""Run a sweep: every point's samples asked once, equal plans answered once, all of it in ledgers that resume.

What answers a point is an Answerer; this file knows no tensors. A sweep's folder holds cells/<setting>/<task>/, each a
run folder of evals.run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from evals.ablation.cost import Cost
from evals.ablation.planner import Planner, Setting
from evals.ablation.sizes import Sizes
from evals.ablation.table import Measured
from evals.controls import shuffle_media
from evals.ledger import Config, Ledger, read
from evals.predict import Answer, Answerer, Batching, Question, Ready
from evals.result import FAILED, Prediction, Result
from evals.run import BLIND, PREDICTIONS, choose, run, run_config
from evals.sample import Media, Sample
from evals.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One point to run: the setting that it plans by, the folder of its ledgers, its tasks, and whether blind too."""

    setting: Setting
    folder: str
    tasks: tuple[Task, ...]
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a sweep did: answers wanted, taken from an equal plan, and taken from the ledgers of an earlier run."""

    wanted: int
    shared: int
    resumed: int

    @property
    def text(self) -> str:
        """Return the counts in words."""
        return f"{self.wanted} answers, {self.shared} from equal plans, {self.resumed} from before"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """The measured points in the order given, and the counts."""

    points: tuple[Measured, ...]
    counts: Counts


def run_sweep(
    points: Sequence[SweepPoint],
    answerer_of: Callable[[Setting], Answerer],
    out_dir: Path,
    *,
    flops_of: Callable[[Setting], Callable[[Prediction], Cost]] | None = None,
    batching: Batching | None = None,
    limit: int | None = None,
    progress: bool = True,
    bar_line: int = 0,
) -> SweepRun:
    """Return every point's results; run again to resume.

    limit: samples of each task, evenly spread. bar_line: the line of the progress bar, below others. Raises ValueError
    where two points share a folder, or a folder holds a run with another config.
    """
    folders = [point.folder for point in points]
    if len(set(folders)) < len(folders):
        raise ValueError(f"sweep: two points share a folder, among {folders}")
    tasks = {id(task): task for point in points for task in point.tasks}
    samples = {name: choose(task, limit) for name, task in tasks.items()}
    total = sum(len(samples[id(task)]) * (1 + point.blind) for point in points for task in point.tasks)
    memory = _Memory()
    measured: list[Measured] = []
    done = 0
    with tqdm(total=total, unit="answer", disable=not progress, dynamic_ncols=True, position=bar_line) as bar:
        for point in points:
            bar.set_description(point.setting.name)
            answerer = _Counting(answerer_of(point.setting), bar)
            results: dict[str, Result] = {}
            shared = 0
            for task in point.tasks:
                folder = Path(out_dir) / "cells" / point.folder / task.name
                shared += _fill(folder, point, task, samples[id(task)], answerer, memory, bar)
                results[task.name] = run(
                    task, answerer, folder, batching=batching, blind=point.blind, limit=limit, progress=False
                )
                _remember(folder, point, task, samples[id(task)], memory)
                done += len(samples[id(task)]) * (1 + point.blind)
                # failed samples never reach `answer`
                bar.update(done - bar.n)
            groups = {task.name: task.groups for task in point.tasks}
            flops = None if flops_of is None else flops_of(point.setting)
            name = point.setting.name
            measured.append(Measured(setting=name, results=results, groups=groups, flops=flops, shared=shared))
    counts = Counts(wanted=total, shared=sum(point.shared for point in measured), resumed=memory.resumed)
    return SweepRun(points=tuple(measured), counts=counts)


class _Memory:
    """Answers by everything they depend on, over all points of a sweep."""

    def __init__(self) -> None:
        self.planner, self.sizes = Planner(), Sizes()
        self.answers: dict[str, Prediction] = {}
        self.resumed = 0

    def key(self, sample: Sample, task: Task, setting: Setting) -> str | None:
        """Return a digest that equals another one only for the same answer; None when a medium has no size."""
        sized = self.sizes.sample(sample)
        if sized is None:
            return None
        parts = (task.name, str(task.max_new_tokens), sample.id, task.prompt(sample), self.planner.key(sized, setting))
        return hashlib.blake2b("|".join(parts).encode(), digest_size=16).hexdigest()


class _Counting:
    """An Answerer that moves the sweep's progress bar."""

    def __init__(self, inner: Answerer, bar: tqdm) -> None:
        self._inner, self._bar = inner, bar
        self._facts: Config | None = None

    def facts(self) -> Config:
        # asked for several times a point, and it reads all weights
        self._facts = self._facts or self._inner.facts()
        return self._facts

    def open(self, media: Media) -> object:
        return self._inner.open(media)

    def prepare(self, question: Question) -> Ready:
        return self._inner.prepare(question)

    def answer(self, ready: Sequence[Ready], max_new_tokens: int) -> list[Answer]:
        answers = self._inner.answer(ready, max_new_tokens)
        self._bar.update(len(answers))
        return answers


def _controls(point: SweepPoint, samples: Sequence[Sample]) -> list[tuple[str, str, Sequence[Sample]]]:
    """Return (control, ledger file, samples) of a point: the questions themselves, then with other media."""
    plain = [("none", PREDICTIONS, samples)]
    return [*plain, ("blind", BLIND, shuffle_media(samples))] if point.blind else plain


def _fill(
    folder: Path,
    point: SweepPoint,
    task: Task,
    samples: Sequence[Sample],
    answerer: _Counting,
    memory: _Memory,
    bar: tqdm,
) -> int:
    """Write the answers that equal plans have already given to a point's ledgers; return how many there are in all."""
    shared = 0
    for control, file, asked in _controls(point, samples):
        config = run_config(task, asked, answerer.facts(), control=control)
        with Ledger(folder / file, config) as ledger:
            before = len(ledger.predictions)
            known = _known(asked, point, task, memory)
            ledger.append([prediction for name, prediction in known.items() if name not in ledger.predictions])
            bar.update(len(ledger.predictions))
        shared += len(known)
        memory.resumed += before
    return shared


def _known(samples: Sequence[Sample], point: SweepPoint, task: Task, memory: _Memory) -> Mapping[str, Prediction]:
    keys = {sample.id: memory.key(sample, task, point.setting) for sample in samples}
    return {name: memory.answers[key] for name, key in keys.items() if key is not None and key in memory.answers}


def _remember(folder: Path, point: SweepPoint, task: Task, samples: Sequence[Sample], memory: _Memory) -> None:
    for _, file, asked in _controls(point, samples):
        _, predictions, _ = read(folder / file)
        for sample in asked:
            key = memory.key(sample, task, point.setting)
            if key is not None and predictions[sample.id].status not in FAILED:
                memory.answers.setdefault(key, predictions[sample.id])
