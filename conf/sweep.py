"""Compose the points of a sweep: one configuration a cell, and from it the setting that the cell plans by."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anyres.grid import GridSpec
from conf.build import build
from conf.main import Composed, compose
from conf.own import for_hydra, settings
from conf.schema.ablate import AblateConfig
from conf.schema.plan import PlanConfig
from evals.ablation.axes import Ablation, Cell, cells
from evals.ablation.planner import Setting
from evals.ablation.remembered import Remembered
from evals.task import Task
from evals.tasks.build import build_task, task_label, task_words
from models.checkpoints.shipped import SHIPPED
from models.spec import ModelSpec
from video.budget import within_tokens
from video.clip import VideoSpec

# the model of a command line that names none
DEFAULT_SOURCE = "pocket"
# settings that do not change an answer: sweeps that differ only in these share a folder
_FREE = (
    "batch",
    "blind",
    "cache_disk_mib",
    "cache_folder",
    "cache_mib",
    "hourly",
    "out",
    "plan_only",
    "text_tokens",
    "timed",
    "tracker",
)
# longer than any prompt: the context of a model that may read beyond its own
_ANY_LENGTH = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One cell with its configuration, the task it asks and the setting that it plans by."""

    cell: Cell
    config: AblateConfig
    task: Task
    setting: Setting


def compose_sweep(overrides: Sequence[str]) -> list[Planned]:
    """Return the points of the one sweep that an anyres-ablate command line describes."""
    (composed,) = compose("ablate", task_words([for_hydra(word) for word in overrides]))
    return plan_cells(sweep_of(build(AblateConfig, composed.mapping)), overrides)


def sweep_of(config: AblateConfig) -> Ablation:
    """Return the sweep of a command line, as presets are priced in it where only a preset is named.

    Raises ValueError where a model is named although every point sets its own.
    """
    sweep = config.ablation.of_preset if _is_preset(config) and config.source not in SHIPPED else config.ablation
    own = [str(cell.set["model"]) for cell in cells(sweep) if "model" in cell.set]
    if own and config.source not in (DEFAULT_SOURCE, *own):
        raise ValueError(
            f"model={config.source}: every point of ablation={sweep.name} sets its own model ({', '.join(own)}); name "
            "yours there: 'ablation.axes.0.values=[DIR,DIR]'"
        )
    return sweep


def plan_cells(ablation: Ablation, overrides: Sequence[str]) -> list[Planned]:
    """Return every cell composed and built: what the user said first, then what the cell sets.

    Raises ValueError for a key or a value that does not fit, and for a model that is not there.
    """
    specs: dict[str, ModelSpec] = {}
    tasks: dict[str, Task] = {}
    return [_plan_cell(cell, overrides, specs, tasks) for cell in cells(ablation)]


def sweep_folder(composed: Composed, config: AblateConfig) -> Path:
    """Return the folder asked for, or one named for everything that changes an answer."""
    if config.out is not None:
        return Path(config.out)
    settled = {key: value for key, value in composed.mapping.items() if key not in _FREE}
    digest = hashlib.sha256(json.dumps([settled, composed.chosen], sort_keys=True).encode()).hexdigest()[:8]
    name = f"{config.ablation.name}-{task_label(config.task)}-{Path(config.source).name}-{digest}"
    return Path("runs") / "ablate" / name


def _plan_cell(cell: Cell, overrides: Sequence[str], specs: dict[str, ModelSpec], tasks: dict[str, Task]) -> Planned:
    (composed,) = compose("ablate", task_words([for_hydra(word) for word in (*overrides, *cell.overrides)]))
    config = build(AblateConfig, composed.mapping)
    if config.source not in specs:
        specs[config.source] = _own_spec(config)
    # cells that ask the same task share its samples
    name = json.dumps(config.task, sort_keys=True)
    if name not in tasks:
        tasks[name] = Remembered(build_task(config.task))
    setting = _setting(cell, config, composed, specs[config.source])
    return Planned(cell=cell, config=config, task=tasks[name], setting=setting)


def _setting(cell: Cell, config: AblateConfig, composed: Composed, own: ModelSpec) -> Setting:
    for part in ("encoder", "llm"):
        if composed.chosen.get(part, "None") != "None" and not _is_preset(config):
            raise ValueError(f"{part}={composed.chosen[part]}: {config.source} brings its own; set model= instead")
    llm = config.llm or own.llm
    encoder = (config.encoder or own.encoder).seen_at(config.layer, config.tile_px)
    video = settings(VideoSpec, config.video, own.video, composed.chosen, "video") or own.video
    grid = settings(GridSpec, config.grid, own.grid, composed.chosen, "grid")
    if config.clip_tokens is not None:
        video = within_tokens(video, config.clip_tokens, encoder.tile)
    spec = replace(
        own,
        encoder=encoder,
        llm=replace(llm, context=_ANY_LENGTH) if config.beyond_context else llm,
        grid=grid or own.grid,
        # a grid that was chosen holds for every image, also for those that share a prompt
        several="grid" if grid is not None else own.several,
        video=video,
        rope_factor=own.rope_factor if config.rope_factor is None else config.rope_factor,
        rope_type=own.rope_type if config.rope_type is None else config.rope_type,
        times=own.times if config.times is None else config.times,
        dtype=config.dtype or own.dtype,
    )
    return Setting(
        name=cell.setting,
        spec=spec,
        weights=config.source,
        wiring=config.wiring,
        control=config.control,
        dtype=config.dtype,
        resample=config.resize,
    )


def _own_spec(config: AblateConfig) -> ModelSpec:
    """Return the spec of a checkpoint, or of a preset when only planning."""
    if _is_preset(config):
        (composed,) = compose("plan", [f"model={config.source}"])
        return build(PlanConfig, composed.mapping).spec
    # imports torch, which presets do not need
    from models.checkpoints.load import read_checkpoint
    from models.checkpoints.shipped import folder_of

    return read_checkpoint(folder_of(config.source)).spec


def _is_preset(config: AblateConfig) -> bool:
    return config.plan_only and not Path(config.source).is_dir()
