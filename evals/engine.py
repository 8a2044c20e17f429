"""What answers on a command line: the model of a configuration, loaded, with its decoders and its memory of tiles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.build import build
from conf.own import settings
from evals.protocol import Answerer
from evals.sample import Sample
from evals.task import Task

if TYPE_CHECKING:
    from conf.schema.evaluate import EvalConfig

# below so many files a decoder process costs more than it protects
FEW_FILES = 64
MOST_DECODERS = 4


@contextmanager
def opened_engine(
    config: EvalConfig, chosen: Mapping[str, str], task: Task, samples: Sequence[Sample]
) -> Iterator[Answerer]:
    """Yield what answers; its decoder processes, or its connections, end with the block."""
    if config.engine is not None:
        with _remote(config, config.engine, samples) as remote:
            yield remote
        return
    # loading torch and transformers takes seconds: not for --help, and not before the words make sense
    import torch

    from anyres.grid import GridSpec
    from evals.answerer import LmmAnswerer
    from evals.likelihood import LikelihoodAnswerer
    from evals.media.decoders import EVALUATION, Decoders
    from evals.media.looking import Looking
    from evals.store.feature_cache import MIB, cached
    from models.build import load
    from models.feature_store import FeatureStore
    from models.processor import Processor
    from models.room import most_frames, text_share
    from video.clip import VideoSpec

    # before a model is loaded: checksums that cannot be read end the command
    limits = config.media.limits(EVALUATION)
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    dtype = None if config.dtype is None else dtypes[config.dtype]
    factor = config.rope_factor
    if factor == "auto":
        factor = _factor(config, chosen, task)
    model, processor = load(
        config.source,
        device=_device(config.device),
        dtype=dtype,
        rope_factor=factor,
        rope_type=config.rope_type,
        compute=config.compute,
    )
    if config.pixels != "exact":
        processor = Processor(processor.spec, processor.tokenizer, pixels=config.pixels)
    video = settings(VideoSpec, config.video, processor.spec.video, chosen, "video")
    if config.most_frames:
        text = text_share(processor.spec, task.max_new_tokens)
        video = most_frames(processor.spec, video or processor.spec.video, text)
    count = num_decoders(config.decoders, samples)
    grid = settings(GridSpec, config.grid, processor.spec.grid, chosen, "grid")
    folder = None if config.cache_folder is None else Path(config.cache_folder)
    disk_bytes = None if config.cache_disk_mib is None else config.cache_disk_mib * MIB
    pool = Decoders(count, limits) if count else nullcontext()
    with cached(model, folder=folder, disk_bytes=disk_bytes), pool as decoders:
        looking = Looking(
            model,
            processor,
            grid=grid,
            video=video,
            reader=config.reader,
            decoders=decoders,
            stream=config.stream_frames,
            store=None if folder is None else FeatureStore(folder, disk_bytes),
            limits=limits,
        )
        answerer = LmmAnswerer(
            model,
            processor,
            looking,
            finite=config.alarm is not None,
            exact=config.exact,
        )
        if config.choices == "written":
            yield answerer
        else:
            yield LikelihoodAnswerer(answerer, task, samples, config.choices)


def alone(answerer: Answerer) -> Answerer | None:
    """Return what answers alone where `answerer` computes answers together that depend on it; else None."""
    from evals.answerer import LmmAnswerer
    from evals.likelihood import LikelihoodAnswerer

    return answerer.alone() if isinstance(answerer, LmmAnswerer | LikelihoodAnswerer) else None


def _factor(config: EvalConfig, chosen: Mapping[str, str], task: Task) -> float:
    """Return the RoPE factor that one clip or image may need, from the checkpoint's spec alone."""
    from anyres.grid import GridSpec
    from models.checkpoints.load import read_checkpoint
    from models.checkpoints.shipped import folder_of
    from models.room import factor_at_most
    from video.clip import VideoSpec

    spec = read_checkpoint(folder_of(config.source)).spec
    grid = settings(GridSpec, config.grid, spec.grid, chosen, "grid")
    video = settings(VideoSpec, config.video, spec.video, chosen, "video")
    return factor_at_most(spec, video, grid, task.max_new_tokens)


@contextmanager
def _remote(config: EvalConfig, engine: Mapping[str, Any], samples: Sequence[Sample]) -> Iterator[Answerer]:
    """Yield a model behind an endpoint; a ValueError for settings that only a loaded model has."""
    from evals.media.decoders import EVALUATION, Decoders
    from evals.remote.answerer import RemoteAnswerer, RemoteSpec
    from evals.remote.endpoint import Endpoint
    from models.compute import Compute
    from video.clip import VideoSpec

    missing = [key for key, value in engine.items() if value == "???"]
    if missing:
        raise ValueError(f"engine: needs {' and '.join(f'engine.{key}=...' for key in missing)}")
    if config.grid or config.choices != "written" or config.pixels != "exact" or config.compute != Compute():
        raise ValueError(
            "engine: an endpoint prepares its own pictures and only writes; leave grid, pixels, compute and choices out"
        )
    spec = build(RemoteSpec, engine, "engine")
    video = build(VideoSpec, config.video, "video") if config.video else None
    count = num_decoders(config.decoders, samples)
    limits = config.media.limits(EVALUATION)
    endpoint = Endpoint(spec, connections=spec.workers)
    try:
        with Decoders(count, limits) if count else nullcontext() as decoders:
            yield RemoteAnswerer(endpoint, spec, video, config.reader, decoders, limits)
    finally:
        endpoint.close()


def num_decoders(asked: int | None, samples: Sequence[Sample]) -> int:
    """Return how many decoder processes to use: as asked, or by the number of media files and of cores."""
    if asked is not None:
        return asked
    files = {medium.path for sample in samples for medium in sample.media if medium.path is not None}
    if len(files) < FEW_FILES:
        return 0
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    return max(1, min(MOST_DECODERS, ((os.cpu_count() or 1) - 1) // workers))


def _device(asked: str) -> str:
    """Return a device; "auto" and "cuda" take the GPU of this process's place on the machine."""
    import torch

    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if asked in ("auto", "cuda") and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return "cuda" if asked == "auto" else asked
