"""Evaluate: predict with a ledger, score, and write the run's folder.

A run folder holds predictions.jsonl (the ledger; blind.jsonl for the blind control), result.json and result.md (the
table), samples.jsonl (every sample's score, sorted by id) and run.json (config, versions, times). All but the ledgers
and run.json depend on the answers alone: the same answers give the same bytes, however often a run was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evals.controls import shuffle_media
from evals.ledger import Config, Ledger, read
from evals.predict import Answerer, Batching, predict
from evals.result import Prediction, Result
from evals.sample import Media, Sample
from evals.score import read_again, score
from evals.task import Task

if TYPE_CHECKING:
    from anyres.grid import GridSpec
    from models.lmm import LMM
    from models.processor import Processor
    from video.clip import VideoSpec

PREDICTIONS, BLIND = "predictions.jsonl", "blind.jsonl"
PACKAGES = ("anyres", "torch", "transformers", "tokenizers", "numpy", "pillow", "av", "decord")
# what another run of the same answers measures anew
_TIMES = ("seconds", "encode_seconds", "prefill_seconds", "decode_seconds", "batch", "peak_mib")


def evaluate(
    task: Task,
    model: LMM,
    processor: Processor,
    out_dir: Path,
    grid: GridSpec | None = None,
    video: VideoSpec | None = None,
    *,
    batching: Batching | None = None,
    reader: Literal["auto", "decord", "pyav"] = "auto",
    blind: bool = False,
    limit: int | None = None,
    progress: bool = True,
) -> Result:
    """Return the scored answers of a model to a task, and leave the run in `out_dir`; run again to resume it.

    grid, video: how images and clips are planned, in place of the model's own settings. reader: of clips. blind: also
    ask everything with another sample's media. limit: so many samples, evenly spread over the task. Raises ValueError
    when `out_dir` holds a run with another config.
    """
    # only this function needs tensors: a run can be scored again without torch
    from evals.answerer import LmmAnswerer
    from evals.feature_cache import cached

    with cached(model):
        answerer = LmmAnswerer(model, processor, grid=grid, video=video, reader=reader)
        return run(task, answerer, out_dir, batching=batching, blind=blind, limit=limit, progress=progress)


def run(
    task: Task,
    answerer: Answerer,
    out_dir: Path,
    *,
    batching: Batching | None = None,
    blind: bool = False,
    limit: int | None = None,
    progress: bool = True,
) -> Result:
    """Do what `evaluate` does for anything that answers."""
    start = time.perf_counter()
    samples = choose(task, limit)
    # what cannot be shuffled is told now, not after the answers
    shuffled = shuffle_media(samples) if blind else None
    facts = answerer.facts()
    config = run_config(task, samples, facts, control="none")
    with Ledger(Path(out_dir) / PREDICTIONS, config) as ledger:
        predict(task, samples, answerer, ledger, batching, progress)
    blind_predictions = None
    damaged = ledger.damaged
    if shuffled is not None:
        blind_config = run_config(task, shuffled, facts, control="blind")
        with Ledger(Path(out_dir) / BLIND, blind_config) as blind_ledger:
            predict(task, shuffled, answerer, blind_ledger, batching, progress, label=f"{task.name} blind")
        blind_predictions = blind_ledger.predictions
        damaged += blind_ledger.damaged
    result = score(task, samples, ledger.predictions, blind_predictions)
    write_result(result, Path(out_dir))
    write_files(task, samples, ledger.predictions, Path(out_dir))
    record = {
        "config": dict(config),
        "damaged_lines": damaged,
        **_timing(ledger.predictions, time.perf_counter() - start),
    }
    _write(Path(out_dir) / "run.json", json.dumps({**record, "versions": versions()}, indent=2) + "\n")
    return result


def rescore(task: Task, out_dir: Path, limit: int | None = None) -> Result:
    """Return the result of the predictions in `out_dir`, read and scored anew, and write it there. Needs no model."""
    samples = choose(task, limit)
    found, predictions, _ = read(Path(out_dir) / PREDICTIONS)
    if found.get("task.digest") != digest(task, samples):
        raise ValueError(f"{out_dir}: its predictions are for other samples or prompts than {task.name} has now")
    blind_path = Path(out_dir) / BLIND
    blind = read(blind_path)[1] if blind_path.exists() else None
    if blind is not None and len(blind) < len(samples):
        blind = None
    result = score(task, samples, predictions, blind)
    write_result(result, Path(out_dir))
    write_files(task, samples, predictions, Path(out_dir))
    return result


def choose(task: Task, limit: int | None) -> Sequence[Sample]:
    """Return the task's samples, at most `limit` of them, evenly spread; ids that are not unique are a ValueError."""
    samples = task.samples()
    ids = {sample.id for sample in samples}
    if len(ids) < len(samples):
        raise ValueError(f"{task.name}: {len(samples)} samples have only {len(ids)} different ids")
    if limit is None or limit >= len(samples):
        return samples
    if limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    return [samples[index * len(samples) // limit] for index in range(limit)]


def run_config(task: Task, samples: Sequence[Sample], facts: Config, control: str) -> Config:
    """Return everything the answers depend on, flat, for the ledger's header."""
    return {
        "task.name": task.name,
        "task.samples": len(samples),
        "task.digest": digest(task, samples),
        "task.max_new_tokens": task.max_new_tokens,
        "control": control,
        **facts,
    }


def digest(task: Task, samples: Sequence[Sample]) -> str:
    """Return 16 hex digits over every sample's id, prompt and media: names and sizes of files, not their folders."""
    hasher = hashlib.sha256()
    for sample in samples:
        parts = [sample.id, task.prompt(sample), *(_media_name(medium) for medium in sample.media)]
        hasher.update(json.dumps(parts).encode())
    return hasher.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that an answer may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_result(result: Result, out_dir: Path) -> None:
    """Write result.json, result.md and samples.jsonl."""
    lines = []
    for item in result.samples:
        line = asdict(item)
        line["prediction"] = {key: value for key, value in line["prediction"].items() if key not in _TIMES}
        lines.append(json.dumps(line) + "\n")
    _write(out_dir / "samples.jsonl", "".join(lines))
    _write(out_dir / "result.md", result.markdown())
    _write(out_dir / "result.json", json.dumps(result.summary(), indent=2, allow_nan=False) + "\n")


def write_files(task: Task, samples: Sequence[Sample], predictions: Mapping[str, Prediction], out_dir: Path) -> None:
    """Write the task's own files, read from the texts with today's parser."""
    read_anew = {sample.id: read_again(task, sample, predictions[sample.id]) for sample in samples}
    for name, text in task.files(samples, read_anew).items():
        _write(out_dir / name, text)


def _media_name(media: Media) -> str:
    if media.path is None:
        return media.key
    size = media.path.stat().st_size if media.path.is_file() else -1
    return f"{media.path.name}:{size}"


def _timing(predictions: Mapping[str, Prediction], wall: float) -> dict[str, float | int]:
    seconds = [prediction.seconds for prediction in predictions.values()]
    return {
        "samples": len(seconds),
        "seconds": round(sum(seconds), 3),
        "seconds_per_sample": round(sum(seconds) / len(seconds), 6) if seconds else 0.0,
        "wall_seconds_of_last_run": round(wall, 3),
    }


def _write(path: Path, text: str) -> None:
    # written beside and renamed: a reader sees the old file or the new one, never half of it
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
