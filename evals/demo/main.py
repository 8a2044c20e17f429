"""make demo: a resolution ablation and zero-shot video questions on the model that ships, in one report."""

import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, compose, told
from conf.own import for_hydra
from conf.schema.demo import DemoConfig
from conf.sweep import Planned, compose_sweep
from evals.ablation.console import sweep_text
from evals.ablation.main import answer, measure, open_models
from evals.ablation.provenance import num_cores
from evals.run import digest as task_digest

if TYPE_CHECKING:
    from multiprocessing.synchronize import RLock

    from evals.ablation.loaded import LoadedModels
    from evals.ablation.output import SweepOutput


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known=())
        if arguments.bare:
            raise ValueError(f"{arguments.bare[0]}: expected key=value")
        for composed in compose("demo", [for_hydra(word) for word in arguments.overrides]):
            run(build(DemoConfig, composed.mapping))
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("demo", error)
    except KeyboardInterrupt:
        print("demo: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def run(config: DemoConfig) -> None:
    """Run every sweep, print its table, and write the folder."""
    start, out = time.perf_counter(), Path(config.out)
    planned = {name: _planned(config, name) for name in config.sweeps}
    answered = config.parallel and num_cores() > 1 and _answer_side_by_side(config)

    from evals.ablation.output import write, write_report, write_tables

    models = _models(next(iter(planned.values())))
    outputs: list[SweepOutput] = []
    answers = {}
    for name, points in planned.items():
        print(f"\n{config.sweeps[name].title}: {points[0].setting.spec.name} on {points[0].task.name}", flush=True)
        # what is in the ledgers by now is not asked again
        folder, intro = _ledgers(config, name, points, models), config.sweeps[name].intro
        done, output = measure(points, models, folder, intro, progress=not answered)
        print(f"\n{sweep_text(output.rows)}", flush=True)
        write_tables(out, output, name)
        answers[f"answers: {name}"] = done.counts.text
        outputs.append(output)
    record = {
        "sweeps": json.dumps({name: list(sweep.overrides) for name, sweep in config.sweeps.items()}),
        **models.record(),
        **answers,
        "seconds of this run": f"{time.perf_counter() - start:.1f}",
    }
    spec = next(iter(planned.values()))[0].setting.spec
    report = write_report(out, config.title, f"What the model {spec.name!r} answers, measured here", outputs, record)
    write(out / "README.txt", README)
    print(f"\n{report} ({time.perf_counter() - start:.0f} s)")


README = """\
report.html      everything on one page
NAME.json .csv .md   the table of each sweep: resolution, video
plots/           the figures of the report
ledgers/         every answer; running the demo again resumes from them
clips/           the clips that were asked about
record.json      versions, weights, machine
"""


def _answer_side_by_side(config: DemoConfig) -> bool:
    """Answer every sweep in a process of its own, better than threads for a small model; tell if all ended well.

    A process that failed has said why; what it left is asked again by its parent, and fails there if it must.
    """
    processes = multiprocessing.get_context("spawn")
    lock = processes.RLock()
    workers = [
        processes.Process(target=_answer, args=(config, name, line, lock)) for line, name in enumerate(config.sweeps)
    ]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.terminate()
    return all(worker.exitcode == 0 for worker in workers)


def _answer(config: DemoConfig, name: str, line: int, lock: "RLock") -> None:
    tqdm.set_lock(lock)
    points = _planned(config, name)
    models = _models(points)
    try:
        answer(points, models, _ledgers(config, name, points, models), bar_line=line)
    except KeyboardInterrupt:
        # the parent tells it
        sys.exit(130)


def _planned(config: DemoConfig, name: str) -> list[Planned]:
    sweep = config.sweeps[name]
    overrides = [*sweep.overrides, f"model={config.source}"]
    if any(word == "task=pocket-video" for word in overrides):
        overrides.append(f"task.folder={Path(config.out) / 'clips'}")
    points = compose_sweep(overrides)
    titled = replace(points[0].config, ablation=replace(points[0].config.ablation, title=sweep.title))
    return [replace(points[0], config=titled), *points[1:]]


def _models(points: Sequence[Planned]) -> "LoadedModels":
    import torch

    # threads that wait for each other on busy cores cost a small model more than they give
    torch.set_num_threads(1)
    return open_models(points[0].config)


def _ledgers(config: DemoConfig, name: str, points: Sequence[Planned], models: "LoadedModels") -> Path:
    """Return the folder of a sweep's ledgers, named for all that its answers depend on: new weights start anew."""
    weights = models.answerer(points[0].setting).facts()
    parts = [[repr(point.setting), task_digest(point.task, point.task.samples())] for point in points]
    digest = hashlib.sha256(json.dumps([weights, parts], sort_keys=True).encode()).hexdigest()[:8]
    return Path(config.out) / "ledgers" / f"{name}-{digest}"


if __name__ == "__main__":
    sys.exit(main())
