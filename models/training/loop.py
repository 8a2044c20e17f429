"""The training loop: one stage, deterministic by seed, resumable at any saved step.

A step's data depend on the stage's seed and the step alone, nothing draws from a global generator, and a checkpoint
holds weights, optimiser states and the step: a killed and resumed run equals an uninterrupted one.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from models.lmm import LMM
from models.training.freeze import freeze_all_but
from models.training.objective import Objective
from models.training.optim import build_optimizers, set_rates
from models.training.stage import StageSpec

DataSource = Callable[[int], Any]
Probe = Callable[[int], dict[str, float]]


def train(
    stage: StageSpec,
    model: LMM,
    objective: Objective,
    data: DataSource,
    folder: Path,
    probe: Probe | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Train `model` in place through `stage`.

    data: step -> batch, the same for the same step. folder: gets log.jsonl (one line every log_every steps: step, loss,
    seconds and what the objective and the probe report) and checkpoint.pt; when it holds a checkpoint of this stage
    the run goes on from there. probe: step -> numbers for the log, called when a checkpoint is saved. say: gets each
    log line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moving = freeze_all_but(model, objective, stage.parts)
    optimizers = build_optimizers(stage, moving)
    first, spent_s = _resume(folder / "checkpoint.pt", stage, model, objective, optimizers)
    log = _Log(folder / "log.jsonl", first, spent_s, say)
    model.train()
    if stage.compile:
        _compile_blocks(model)
    for step in range(first, stage.steps):
        set_rates(optimizers, stage.rate_factor(step))
        factor = Random(f"{stage.seed}/{step}").choice(stage.rope_factors)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=stage.precision == "bfloat16"):
            loss, numbers = objective(model, data(step), factor)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(moving.values()), stage.clip)
        if not torch.isfinite(norm):
            raise ValueError(f"stage {stage.name!r}, step {step}: loss {loss.item()}, gradient norm {norm.item()}")
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        log.add(loss.item(), numbers)
        last = step + 1 == stage.steps
        saving = last or (step + 1) % stage.save_every == 0
        if saving or (step + 1) % stage.log_every == 0:
            log.write(step + 1, probe(step + 1) if saving and probe else {})
        if saving:
            _save(folder / "checkpoint.pt", stage, step + 1, log.seconds, model, objective, optimizers)
    model.requires_grad_(False).eval()


def _compile_blocks(model: LMM) -> None:
    """Compile every transformer block in place, once, for any batch size and length."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for block in module:
                # a module's compiled forward hides its plain one until the process ends; its weights stay as they are
                block.forward = torch.compile(block.forward, dynamic=True)


class _Log:
    """Averages of the steps since the last line, appended as JSON lines; lines after the resumed step are dropped."""

    def __init__(self, path: Path, first: int, spent_s: float, say: Callable[[str], None] | None) -> None:
        self._path, self._spent_s, self._start, self._say = path, spent_s, time.monotonic(), say
        self._sums: dict[str, list[float]] = {}
        kept = path.read_text().splitlines() if path.exists() and first else []
        kept = [line for line in kept if json.loads(line)["step"] <= first]
        path.write_text("".join(f"{line}\n" for line in kept))

    @property
    def seconds(self) -> float:
        """Return the seconds of training so far, those before a resume included."""
        return self._spent_s + time.monotonic() - self._start

    def add(self, loss: float, numbers: dict[str, float]) -> None:
        for name, value in {"loss": loss, **numbers}.items():
            self._sums.setdefault(name, []).append(value)

    def write(self, step: int, extra: dict[str, float]) -> None:
        means = {name: round(sum(values) / len(values), 5) for name, values in self._sums.items()}
        line = {"step": step, "seconds": round(self.seconds, 1), **means, **extra}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._say:
            self._say(json.dumps(line))
        self._sums = {}


def _save(
    path: Path, stage: StageSpec, step: int, seconds: float, model: LMM, objective: Any, optimizers: list[Any]
) -> None:
    teacher = objective.state_dict() if isinstance(objective, nn.Module) else {}
    state = {
        "stage": stage.name,
        "seed": stage.seed,
        "step": step,
        "seconds": seconds,
        "model": model.state_dict(),
        "teacher": teacher,
        "optimizers": [each.state_dict() for each in optimizers],
    }
    # under its name only when complete: a kill while saving leaves the former checkpoint
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, stage: StageSpec, model: LMM, objective: Any, optimizers: list[Any]) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location=model.device, weights_only=True)
    found, wanted = (state["stage"], state["seed"]), (stage.name, stage.seed)
    if found != wanted:
        raise ValueError(f"{path}: checkpoint of stage and seed {found}, expected {wanted}; choose another folder")
    model.load_state_dict(state["model"])
    objective.load_state_dict(state["teacher"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"]), float(state["seconds"])
