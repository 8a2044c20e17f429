"""The parts of anyres-bench: each maps a number of rounds to figures, with sizes that a small machine can bear."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from evals.bench.figures import Figure, figures
from kernels.bench.clock import copy_of
from kernels.bench.clock import measure as take_turns
from kernels.bench.suite import benchmark
from kernels.bench.work import Setting

# cases of each kernel; () for all
KERNELS: dict[str, tuple[str, ...]] = {
    "pack": ("next-336", "pool-27-to-14"),
    "embeds": ("next-336",),
    "threshold": (),
    "pool": (),
    "rope": (),
}
WIDTH = 1024
DECODED = 8


class NotInstalled(RuntimeError):
    """A package is missing that a part compares with."""


def kernel(name: str, rounds: int) -> Iterator[Figure]:
    """Give a kernel's figures, forward and backward, in bfloat16; the floor is a copy of the bytes it has to move."""
    setting = Setting(device="cpu", dtype=torch.bfloat16, width=WIDTH, cases=KERNELS[name])
    for work in benchmark(name)(setting):
        calls = {**work.calls, "copy": copy_of(work.moved_bytes, work.dtype, setting.device)}
        case = f"{work.case} {work.direction} {work.width} {str(work.dtype).removeprefix('torch.')}"
        yield from figures(name, case, take_turns(calls, setting.device, rounds), work.peer, floor="copy")


def preprocess(rounds: int) -> Iterator[Figure]:
    """Give the figures of files to tiles."""
    _needs("torchvision")
    from anyres.bench.preprocess import cases, run

    for case in cases():
        for row in run(case, rounds, torch.get_num_threads()):
            yield Figure(
                part="preprocess",
                work=row.case,
                implementation=row.implementation,
                rounds=row.rounds,
                milliseconds=row.milliseconds,
                quartile_1=row.quartile_1,
                quartile_3=row.quartile_3,
                peer="official",
                per_peer=row.per_official,
                per_floor=row.per_floor,
                note="" if row.implementation == "floor" else f"{row.levels_max:.0f} grey levels from PIL",
            )


def decode(rounds: int) -> Iterator[Figure]:
    """Give the figures of frames spread over a clip of two minutes; a reader that is not installed is left out."""
    from video import open_clip_reader
    from video.bench.clips import write_long
    from video.bench.decode import BASE, READERS
    from video.sampling import uniform_indices

    _needs("decord")
    with tempfile.TemporaryDirectory() as folder:
        clip = write_long(Path(folder) / "clip.mp4", 3600)
        indices = uniform_indices(open_clip_reader(clip).meta.num_frames, DECODED)
        readers = {name: read for name, read in READERS.items() if "torchcodec" not in name or _installed("torchcodec")}
        calls = {name: lambda read=read: read(clip, indices) for name, read in readers.items()}
        first = calls[BASE]()
        notes = {name: "same pixels" if (call() == first).all() else "OTHER PIXELS" for name, call in calls.items()}
        seconds = take_turns(calls, "cpu", rounds)
    yield from figures("decode", f"{DECODED} of 3600 frames, 720p", seconds, BASE, notes=notes)


def encode(rounds: int) -> Iterator[Figure]:
    """Give the figures of CLIP-L/14-336."""
    from evals.bench.encode import measure

    yield from measure("clip", 1, rounds)


def whole(rounds: int) -> Iterator[Figure]:
    """Give the figures of files to the first token, in seconds of the processor, which company does not stretch."""
    from evals.bench.whole import measure

    yield from measure(16, rounds, hidden=64, layers=3, clock="cpu")


def _needs(package: str) -> None:
    if not _installed(package):
        raise NotInstalled(f"{package} is not installed")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


PARTS: dict[str, Callable[[int], Iterator[Figure]]] = {
    **{name: (lambda rounds, name=name: kernel(name, rounds)) for name in KERNELS},
    "preprocess": preprocess,
    "decode": decode,
    "encode": encode,
    "whole": whole,
}
