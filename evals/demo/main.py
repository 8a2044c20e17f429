"""make demo: a resolution ablation and zero-shot video questions on the model that ships, in one report."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, compose, one_line
from conf.own import for_hydra
from conf.schema import DemoConfig, DemoSweep
from conf.sweep import Planned, compose_sweep
from evals.ablation.console import sweep_text
from evals.ablation.main import measure, open_models
from evals.run import digest as task_digest

if TYPE_CHECKING:
    from evals.ablation.loaded import LoadedModels
    from evals.ablation.output import SweepOutput


MAX_THREADS = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known=())
        if arguments.bare:
            raise ValueError(f"{arguments.bare[0]}: expected key=value")
        for composed in compose("demo", [for_hydra(word) for word in arguments.overrides]):
            run(build(DemoConfig, composed.mapping))
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"demo: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def run(config: DemoConfig) -> None:
    """Run every sweep, print its table, and write the folder."""
    import torch

    from evals.ablation.output import write, write_report, write_tables

    # a model this small only loses time to more threads
    torch.set_num_threads(min(torch.get_num_threads(), MAX_THREADS))
    start, out = time.perf_counter(), Path(config.out)
    planned = {name: _planned(sweep, config, out) for name, sweep in config.sweeps.items()}
    models = open_models(next(iter(planned.values()))[0].config)
    outputs: list[SweepOutput] = []
    answers = {}
    for name, points in planned.items():
        print(f"\n{config.sweeps[name].title}: {points[0].setting.spec.name} on {points[0].task.name}", flush=True)
        done, output = measure(points, models, _ledgers(out, name, points, models), config.sweeps[name].intro)
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


def _planned(sweep: DemoSweep, config: DemoConfig, out: Path) -> list[Planned]:
    overrides = [*sweep.overrides, f"model={config.source}"]
    if any(word == "task=pocket-video" for word in overrides):
        overrides.append(f"task.folder={out / 'clips'}")
    points = compose_sweep(overrides)
    titled = replace(points[0].config, ablation=replace(points[0].config.ablation, title=sweep.title))
    return [replace(points[0], config=titled), *points[1:]]


def _ledgers(out: Path, name: str, points: Sequence[Planned], models: "LoadedModels") -> Path:
    """Return the folder of a sweep's ledgers, named for all that its answers depend on: new weights start anew."""
    weights = models.answerer(points[0].setting).facts()
    parts = [[repr(point.setting), task_digest(point.task, point.task.samples())] for point in points]
    digest = hashlib.sha256(json.dumps([weights, parts], sort_keys=True).encode()).hexdigest()[:8]
    return out / "ledgers" / f"{name}-{digest}"


if __name__ == "__main__":
    sys.exit(main())
