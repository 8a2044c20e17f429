"""anyres-ablate: run a sweep over any configuration keys, or price it without weights."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from anyres.grid import GridSpec
from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, Composed, compose, one_line
from conf.own import for_hydra, settings
from conf.schema import AblateConfig, PlanConfig
from evals.ablation.axes import Ablation, Cell, baseline, cells
from evals.ablation.console import price_text, sweep_text
from evals.ablation.planner import CellPrice, Setting, SizedMedium, SizedSample, price_sweep, with_text
from evals.main import build_task
from evals.run import choose
from evals.task import Task
from models.spec import ModelSpec
from video.clip import VideoSpec

# settings that do not change an answer: sweeps that differ only in these share a folder
_FREE = ("batch", "blind", "cache_folder", "cache_mib", "out", "plan_only", "text_tokens")
# longer than any prompt: the context of a model that may read beyond its own
_ANY_LENGTH = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One cell with its configuration, the task it asks and the setting that it plans by."""

    cell: Cell
    config: AblateConfig
    task: Task
    setting: Setting


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known={"--json"})
        for composed in compose("ablate", [for_hydra(word) for word in arguments.overrides]):
            config = build(AblateConfig, composed.mapping)
            if arguments.bare and not config.plan_only:
                raise ValueError(f"{arguments.bare[0]}: sizes and files are priced by plan_only=true; else key=value")
            points = plan_cells(config.ablation, arguments.overrides)
            if config.plan_only:
                print(_prices_text(price(points, arguments.bare), as_json="--json" in arguments.flags))
            else:
                print(run(points, composed))
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"anyres-ablate: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anyres-ablate: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def plan_cells(ablation: Ablation, overrides: Sequence[str]) -> list[Planned]:
    """Return every cell composed and built: what the user said first, then what the cell sets."""
    specs: dict[str, ModelSpec] = {}
    tasks: dict[str, Task] = {}
    return [_plan_cell(cell, overrides, specs, tasks) for cell in cells(ablation)]


def price(points: Sequence[Planned], words: Sequence[str] = ()) -> tuple[CellPrice, ...]:
    """Return what each point costs: over the sizes and files named on the command line, else over the task's samples.

    Raises ValueError when points ask different samples or none has readable media.
    """
    first = points[0]
    samples = [_named(word) for word in words] if words else _of_task(first.task, first.config.limit)
    if any(point.task is not first.task for point in points):
        prices = [price([point], words)[0] for point in points]
        return tuple(prices)
    return price_sweep([point.setting for point in points], with_text(samples, first.config.text_tokens))


def run(points: Sequence[Planned], composed: Composed) -> str:
    """Run the sweep, write its folder, and return what the terminal shows."""
    # loading torch and transformers takes seconds: not for --help, not for prices
    import torch

    from evals.ablation.loaded import LoadedModels, flops_of
    from evals.ablation.output import describe, write_report, write_tables
    from evals.ablation.runner import SweepPoint, run_sweep

    config = points[0].config
    start = time.perf_counter()
    device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    models = LoadedModels(
        device=device,
        dtype=None if config.dtype is None else dtypes[config.dtype],
        reader=config.reader,
        cache_mib=config.cache_mib,
        cache_folder=None if config.cache_folder is None else Path(config.cache_folder),
    )
    folder = sweep_folder(composed, config)
    sweep = [
        SweepPoint(
            setting=point.setting,
            folder=f"{index:02d}-{point.cell.folder}",
            tasks=(point.task,),
            blind=point.config.blind,
        )
        for index, point in enumerate(points)
    ]
    done = run_sweep(sweep, models.answerer, folder, flops_of=flops_of, batching=config.batch, limit=config.limit)
    ablation = config.ablation
    output = describe(ablation, [point.cell for point in points], done, baseline(ablation))
    write_tables(folder, output)
    record = {
        "sweep": json.dumps([point.cell.overrides for point in points]),
        "task": json.dumps(config.task),
        **models.record(),
        "answers": f"{done.counts.wanted}: {done.counts.shared} from equal plans, {done.counts.resumed} from before",
        "seconds of this run": f"{time.perf_counter() - start:.1f}",
    }
    subtitle = f"{points[0].setting.spec.name} on {points[0].task.name}"
    report = write_report(folder, ablation.title, subtitle, [output], record)
    return f"\n{sweep_text(output.rows, ablation.title)}\n\n{report}"


def sweep_folder(composed: Composed, config: AblateConfig) -> Path:
    """Return the folder asked for, or one named for everything that changes an answer."""
    if config.out is not None:
        return Path(config.out)
    settled = {key: value for key, value in composed.mapping.items() if key not in _FREE}
    digest = hashlib.sha256(json.dumps([settled, composed.chosen], sort_keys=True).encode()).hexdigest()[:8]
    name = f"{config.ablation.name}-{config.task['name']}-{Path(config.source).name}-{digest}"
    return Path("runs") / "ablate" / name


def _plan_cell(cell: Cell, overrides: Sequence[str], specs: dict[str, ModelSpec], tasks: dict[str, Task]) -> Planned:
    words = [for_hydra(word) for word in (*overrides, *cell.overrides)]
    (composed,) = compose("ablate", words)
    config = build(AblateConfig, composed.mapping)
    if config.source not in specs:
        specs[config.source] = _own_spec(config)
    name = json.dumps(config.task, sort_keys=True)
    if name not in tasks:
        tasks[name] = build_task(config.task)
    setting = _setting(cell, config, composed, specs[config.source])
    return Planned(cell=cell, config=config, task=tasks[name], setting=setting)


def _setting(cell: Cell, config: AblateConfig, composed: Composed, own: ModelSpec) -> Setting:
    for part in ("encoder", "llm"):
        if composed.chosen.get(part, "None") != "None" and not _is_preset(config):
            raise ValueError(f"{part}={composed.chosen[part]}: {config.source} brings its own; set model= instead")
    llm = config.llm or own.llm
    spec = replace(
        own,
        encoder=config.encoder or own.encoder,
        llm=replace(llm, context=_ANY_LENGTH) if config.beyond_context else llm,
        grid=settings(GridSpec, config.grid, own.grid, composed.chosen, "grid") or own.grid,
        video=settings(VideoSpec, config.video, own.video, composed.chosen, "video") or own.video,
        rope_factor=own.rope_factor if config.rope_factor is None else config.rope_factor,
    )
    return Setting(name=cell.setting, spec=spec, weights=config.source, wiring=config.wiring)


def _own_spec(config: AblateConfig) -> ModelSpec:
    """Return the spec of a checkpoint, or of a preset when only planning."""
    if _is_preset(config):
        (composed,) = compose("plan", [f"model={config.source}"])
        return build(PlanConfig, composed.mapping).spec
    from models.build import POCKET
    from models.checkpoints.load import read_checkpoint

    return read_checkpoint(POCKET if config.source == "pocket" else Path(config.source)).spec


def _is_preset(config: AblateConfig) -> bool:
    return config.plan_only and not Path(config.source).is_dir()


def _named(word: str) -> SizedSample:
    """Return a size or a file of the command line as a sample."""
    from anyres.media_size import parse_size
    from evals.ablation.sizes import Sizes
    from evals.sample import Media, Sample

    size = parse_size(word)
    if size is not None:
        return SizedSample(id=word, media=(SizedMedium(key=word, size=size),))
    sample = Sample(id=word, media=(Media.file(Path(word)),), question="?", answers=("?",))
    sized = Sizes().sample(sample)
    if sized is None:
        raise ValueError(f"{word}: not a size like 640x480 (WIDTHxHEIGHT), and no image or clip that can be read")
    return sized


def _of_task(task: Task, limit: int | None) -> list[SizedSample]:
    from evals.ablation.sizes import Sizes

    sizes = Sizes()
    found = [sizes.sample(sample) for sample in choose(task, limit)]
    readable = [sample for sample in found if sample is not None]
    if len(readable) < len(found):
        print(f"{len(found) - len(readable)} of {len(found)} samples have media that cannot be read", file=sys.stderr)
    return readable


def _prices_text(prices: Sequence[CellPrice], as_json: bool) -> str:
    if as_json:
        return "[\n" + ",\n".join(json.dumps({**asdict(price), "flops": price.flops}) for price in prices) + "\n]"
    return price_text(prices)


if __name__ == "__main__":
    sys.exit(main())
