"""anyres-ablate: run a sweep over any configuration keys, or price it without weights."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyres.limits import LIMITS
from anyres.media_size import parse_size
from conf.arguments import Arguments, split_arguments
from conf.build import build
from conf.launch import run_all
from conf.main import COMPOSE_ERRORS, Composed, compose, told
from conf.nearest import near_file
from conf.own import for_hydra
from conf.schema.ablate import AblateConfig
from conf.sweep import Planned, plan_cells, sweep_folder, sweep_of
from evals.ablation.axes import baseline
from evals.ablation.console import price_text, reuse_text, sweep_text
from evals.ablation.planner import SizedMedium, SizedSample
from evals.ablation.prices import CellPrice, PricePoint, price_sweep
from evals.run import choose
from evals.sample import Media, Sample
from evals.tasks.build import task_words
from evals.trackers import log_all, of_result, tracker

if TYPE_CHECKING:
    import torch

    from evals.ablation.loaded import LoadedModels
    from evals.ablation.output import SweepOutput
    from evals.ablation.runner import SweepRun
    from evals.ablation.sizes import Sizes
    from evals.ablation.table import Measured


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known={"--json"})
        composed = compose("ablate", task_words([for_hydra(word) for word in arguments.overrides]))
        own = (*arguments.bare, *arguments.flags)
        return run_all("evals.ablation.main", composed, lambda one: _sweep(one, arguments), own)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-ablate", error)
    except KeyboardInterrupt:
        print("anyres-ablate: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def price(points: Sequence[Planned], words: Sequence[str] = ()) -> tuple[CellPrice, ...]:
    """Return what each point costs: over the sizes and files named on the command line, else over its task's samples.

    Raises ValueError for a word that is neither a size nor a readable file, and for a task without readable media.
    """
    from evals.ablation.sizes import Sizes

    sizes = Sizes()
    named = [_named(word, sizes) for word in words]
    of_task: dict[int, list[SizedSample]] = {}
    priced = []
    for point in points:
        if not words and id(point.task) not in of_task:
            of_task[id(point.task)] = _of_task(point, sizes)
        samples = [replace(one, text_tokens=point.config.text_tokens) for one in named or of_task[id(point.task)]]
        priced.append(PricePoint(setting=point.setting, samples=tuple(samples)))
    return price_sweep(priced)


def run(points: Sequence[Planned], composed: Composed) -> str:
    """Run the sweep, write its folder, and return what the terminal shows."""
    # loading torch and transformers takes seconds: not for --help, not for prices
    from evals.ablation.output import write_report, write_tables

    config, start = points[0].config, time.perf_counter()
    folder = sweep_folder(composed, config)
    _own_cells(points, folder)
    # a tracker that is not there is told now, not after the answers
    chosen, models = tracker(config.tracker, folder), open_models(config)
    expected = _announced(points)
    done, output = measure(points, models, folder)
    write_tables(folder, output)
    record = {
        "sweep": json.dumps([point.cell.overrides for point in points]),
        "task": json.dumps(config.task),
        **models.record(),
        "answers": done.counts.text,
        "expected tiles": str(sum(one.new_tiles for one in expected)),
        "expected positions": str(sum(one.new_positions for one in expected)),
        "seconds of this run": f"{time.perf_counter() - start:.1f}",
    }
    log_all(
        chosen,
        [
            of_result(point.setting, result, {"setting": point.setting, **planned.cell.set})
            for planned, point in zip(points, done.points, strict=True)
            for result in point.results.values()
        ],
    )
    subtitle = f"{points[0].setting.spec.name} on {points[0].task.name}"
    report = write_report(folder, config.ablation.title, subtitle, [output], record)
    return f"\n{config.ablation.title}\n\n{sweep_text(output.rows)}\n\n{report}"


def _cell(index: int, point: Planned) -> str:
    return f"{index:02d}-{point.cell.folder}"


def _own_cells(points: Sequence[Planned], folder: Path) -> None:
    """Raise ValueError where `folder` holds settings that this sweep does not have: its tables would mix two sweeps."""
    kept = {path.name for path in folder.glob("cells/*") if path.is_dir()}
    others = sorted(kept - {_cell(index, point) for index, point in enumerate(points)})
    if others:
        raise ValueError(
            f"{folder}: holds another sweep (cells/{others[0]} is no setting of this one); use another out="
        )


def _announced(points: Sequence[Planned]) -> tuple[CellPrice, ...]:
    """Print what the points have in common before they are asked, and return their prices; none where none is known."""
    try:
        prices = price(points)
    except ValueError as error:
        # the run reports it as each sample's status
        print(f"no price: {error}", file=sys.stderr)
        return ()
    print(f"{reuse_text(prices, _tflops(points[0].config), points[0].config.hourly)}\n", flush=True)
    return prices


def _tflops(config: AblateConfig) -> float | None:
    """Return what the device sustains: as given, or measured now where that is asked for."""
    if config.tflops != "measure":
        return config.tflops
    import torch

    from evals.ablation.rate import measured_tflops

    device, dtype = _device_and_dtype(config)
    return measured_tflops(torch.device(device), dtype or (torch.float32 if device == "cpu" else torch.bfloat16))


def _device_and_dtype(config: AblateConfig) -> "tuple[str, torch.dtype | None]":
    """Return where a sweep's models are, and their dtype where it is given."""
    import torch

    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return device, None if config.dtype is None else dtypes[config.dtype]


def open_models(config: AblateConfig) -> "LoadedModels":
    """Return what will hold the models of a sweep, on its device."""
    from evals.ablation.loaded import LoadedModels

    device, dtype = _device_and_dtype(config)
    return LoadedModels(
        device=device,
        dtype=dtype,
        reader=config.reader,
        cache_mib=config.cache_mib,
        cache_folder=None if config.cache_folder is None else Path(config.cache_folder),
        positions=config.batch.positions,
        disk_mib=config.cache_disk_mib,
        second_end=config.second_end == "first",
        pixels=config.pixels,
        exact=config.exact,
        compute=config.compute,
        limits=config.media.limits(LIMITS),
    )


def measure(
    points: Sequence[Planned], models: "LoadedModels", folder: Path, intro: str = "", progress: bool = True
) -> "tuple[SweepRun, SweepOutput]":
    """Return the answers of a sweep, its ledgers in `folder`, and what its tables and its section of a report say."""
    from evals.ablation.examples import gallery
    from evals.ablation.known import known_of
    from evals.ablation.output import describe

    config = points[0].config
    done = answer(points, models, folder, progress)
    if config.timed:
        done = replace(done, points=tuple(_timed(points, done.points, models, folder)))
    done = replace(done, points=tuple(replace(point, hourly=config.hourly) for point in done.points))
    cells, task = [point.cell for point in points], points[0].task
    shown = None
    if all(point.task is task for point in points):
        shown = gallery(done.points, task.name, choose(task, config.limit), points[0].setting.spec.encoder.tile_px)
    tasks = {id(point.task): point.task for point in points}.values()
    known = known_of(sample for task in tasks for sample in choose(task, config.limit))
    return done, describe(config.ablation, cells, done, baseline(config.ablation), intro, shown, known)


def answer(
    points: Sequence[Planned], models: "LoadedModels", folder: Path, progress: bool = True, bar_line: int = 0
) -> "SweepRun":
    """Return the answers of a sweep, its ledgers in `folder`."""
    from evals.ablation.loaded import flops_of
    from evals.ablation.runner import SweepPoint, run_sweep

    config = points[0].config
    first = {id(point.task): index for index, point in reversed(list(enumerate(points)))}
    sweep = [
        SweepPoint(
            setting=point.setting,
            folder=_cell(index, point),
            tasks=(point.task,),
            blind=config.blind is True or (config.blind == "once" and first[id(point.task)] == index),
        )
        for index, point in enumerate(points)
    ]
    return run_sweep(
        sweep,
        models.answerer,
        folder,
        engine_of=models.engine,
        alone_of=models.alone,
        flops_of=flops_of,
        batching=config.batch,
        limit=config.limit,
        progress=progress,
        bar_line=bar_line,
    )


def _timed(
    points: "Sequence[Planned]", measured: "Sequence[Measured]", models: "LoadedModels", folder: Path
) -> "Iterator[Measured]":
    """Yield what was measured at each point with the times of a few samples."""
    from evals.ablation.timing import timed

    # points of one model together: another one is loaded in its place
    order = sorted(
        range(len(points)),
        key=lambda index: [point.setting.model for point in points].index(points[index].setting.model),
    )
    times = {}
    for index in order:
        point = points[index]
        times[index] = timed(
            lambda setting=point.setting: (models.answerer(setting), models.model(setting.model)[0]),
            point.task,
            choose(point.task, point.config.limit),
            point.config.timed,
            folder / "cells" / _cell(index, point),
        )
    yield from (replace(found, times=times[index]) for index, found in enumerate(measured))


def _sweep(composed: Composed, arguments: Arguments) -> int:
    """Run or price one sweep of a command line."""
    config = build(AblateConfig, composed.mapping)
    if arguments.bare and not config.plan_only:
        raise ValueError(f"{arguments.bare[0]}: sizes and files are priced by plan_only=true; else key=value")
    points = plan_cells(sweep_of(config), composed.words)
    if config.plan_only:
        prices = price(points, arguments.bare)
        print(_json(prices) if "--json" in arguments.flags else price_text(prices, _tflops(config), config.hourly))
    else:
        print(run(points, composed))
    return 0


def _named(word: str, sizes: "Sizes") -> SizedSample:
    """Return a size or a file of the command line as a sample."""
    size = parse_size(word)
    if size is not None:
        return SizedSample(id=word, media=(SizedMedium(key=word, size=size),))
    if Path(word).is_dir():
        raise ValueError(f"{word}: is a folder; name the files in it, or sizes like 640x480")
    if not Path(word).exists():
        hint = near_file(Path(word))
        raise ValueError(f"{word}: no such file, and not a size like 640x480 (WIDTHxHEIGHT){hint}")
    sized = sizes.sample(Sample(id=word, media=(Media.file(Path(word)),), question="?", answers=("?",)))
    if sized is None:
        raise ValueError(f"{word}: no image or clip that can be read, expected one, or a size like 640x480")
    return sized


def _of_task(point: Planned, sizes: "Sizes") -> list[SizedSample]:
    found = [sizes.sample(sample) for sample in choose(point.task, point.config.limit)]
    readable = [sample for sample in found if sample is not None]
    if len(readable) < len(found):
        print(f"{len(found) - len(readable)} of {len(found)} samples have media that cannot be read", file=sys.stderr)
    return readable


def _json(prices: Sequence[CellPrice]) -> str:
    return "[\n" + ",\n".join(json.dumps({**asdict(cell), "flops": cell.flops}) for cell in prices) + "\n]"


if __name__ == "__main__":
    sys.exit(main())
