"""Image files to tiles in worker processes: tiles come back through shared memory, errors file by file, in order.

Workers are spawned, so a program that uses them needs the usual `if __name__ == "__main__":`. They are told file names
and tell sizes and words; nothing that they say is ever unpickled.

Legend: N tiles in plan order, C = 3 colours, H W pixels of a tile.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from types import TracebackType

import torch
from torch import Tensor

from anyres.compiled import COMPILED
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.pixels import RGB, normalise
from anyres.plan import VisualPlan
from anyres.tiles import TileMaker

# files that a worker knows of: the one that it works on and the next ones
_AHEAD = 4
_START_S = 120.0
# sizes whose plans are kept
_SIZES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """Tiles as an encoder reads them, of any floating `dtype`: what anyres.pixels.normalise makes of them."""

    mean: RGB
    std: RGB
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileTiles:
    """What became of one file: its plan and its tiles [N, C, H, W], uint8 or normalised, or the error."""

    path: Path
    plan: VisualPlan | None = None
    tiles_NCHW: Tensor | None = None
    error: MediaError | None = None


class TileWorkers:
    """`count` processes that make tiles by `maker`. Use as a context manager, from one thread.

    output: how workers write tiles; None leaves them in 8 bits, a quarter of the memory of float32. Workers normalise
    what they have at hand, so one that asks for uint8 and normalises it itself waits for another core's memory.

    A file that ends its process is that file's MediaError of kind "crashed", one that takes longer than the maker's
    limit of seconds is "stalled"; a fresh process takes the place. replaced: how often that happened.
    """

    def __init__(self, maker: TileMaker, count: int, output: Normalised | None = None) -> None:
        if count < 1:
            raise ValueError(f"count: expected at least 1 process, got {count}")
        if output is not None and not output.dtype.is_floating_point:
            raise ValueError(f"output: expected a floating dtype, got {output.dtype}")
        self.maker, self.count, self.output, self.replaced = maker, count, output, 0
        self._dtype = torch.uint8 if output is None else output.dtype
        # pages of a slot are taken from the system when they are written
        size = maker.most_bytes * self._dtype.itemsize
        self._slots = [_Slot.new(size, self._dtype) for _ in range(_AHEAD * count + 1)]
        self._workers = [_Worker(maker, output) for _ in range(count)]
        self._plans: dict[HW, VisualPlan] = {}

    def __enter__(self) -> TileWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []
        blocks, self._slots = [slot.memory for slot in self._slots], []
        for memory in blocks:
            memory.unlink()
            # where somebody still holds tiles of it, the memory goes with them
            with suppress(BufferError):
                memory.close()

    @property
    def processor_s(self) -> float:
        """Return the processor seconds of the workers that are there, up to their last answers that were read."""
        return sum(worker.processor_s for worker in self._workers)

    def make(self, paths: Iterable[str | Path]) -> Iterator[FileTiles]:
        """Yield what becomes of each file, in order. Tiles are shared memory: they hold until the next is asked for."""
        waiting = iter(paths)
        free, order = list(self._slots), deque[_Job]()
        try:
            while True:
                while free and (place := self._idlest()) is not None and (path := next(waiting, None)) is not None:
                    order.append(_Job(path if isinstance(path, Path) else Path(path), free.pop(), place))
                    self._workers[place].take(order[-1])
                if not order:
                    return
                # of its worker's files the first that has no answer yet; the others' answers wait in their pipes
                job = order.popleft()
                yield self._answer(job)
                free.append(job.slot)
        finally:
            # left early: what is under way is not the next call's
            for place in range(len(self._workers)):
                while jobs := self._workers[place].jobs:
                    self._answer(jobs[0])

    def _idlest(self) -> int | None:
        """Return the place of the worker that knows of the fewest files, or None where each knows enough."""
        known = [len(worker.jobs) for worker in self._workers]
        least = min(known)
        return known.index(least) if least < _AHEAD else None

    def _answer(self, job: _Job) -> FileTiles:
        """Wait until a file's worker says what became of it, dies or takes too long."""
        worker = self._workers[job.place]
        try:
            return self._result(job, worker.answer())
        except _Ended as ended:
            self._replace(job.place)
            return FileTiles(path=job.path, error=MediaError(job.path, ended.kind, str(ended)))

    def _result(self, job: _Job, words: dict[str, object]) -> FileTiles:
        if "error" in words:
            return FileTiles(path=job.path, error=MediaError(job.path, *words["error"]))  # type: ignore[misc]
        if "bug" in words:
            raise RuntimeError(f"{job.path}: {words['bug']}")
        height, width = words["size"]  # type: ignore[misc]
        plan, side = self._plan(HW(height, width)), self.maker.tile.px
        return FileTiles(path=job.path, plan=plan, tiles_NCHW=job.slot.tiles(plan.num_tiles, side))

    def _plan(self, size: HW) -> VisualPlan:
        if size not in self._plans:
            if len(self._plans) == _SIZES:
                self._plans.clear()
            self._plans[size] = self.maker.plan(size)
        return self._plans[size]

    def _replace(self, place: int) -> None:
        """Put a fresh process in the place of one that has ended; it goes on with the next file."""
        worker = self._workers[place]
        worker.stop()
        self.replaced += 1
        self._workers[place] = fresh = _Worker(self.maker, self.output)
        for job in list(worker.jobs)[1:]:
            fresh.take(job)


@dataclass(frozen=True, slots=True, eq=False)
class _Slot:
    """Shared memory for the tiles of a file, as numbers in a row."""

    memory: SharedMemory
    numbers_X: Tensor

    @classmethod
    def new(cls, size: int, dtype: torch.dtype) -> _Slot:
        """Return fresh memory of `size` bytes."""
        return cls.over(SharedMemory(create=True, size=size), dtype)

    @classmethod
    def over(cls, memory: SharedMemory, dtype: torch.dtype) -> _Slot:
        """Return memory that is there."""
        return cls(memory, torch.frombuffer(memory.buf, dtype=dtype))

    def tiles(self, count: int, side: int) -> Tensor:
        """Return the beginning as tiles [N, C, H, W]."""
        return self.numbers_X[: count * 3 * side**2].view(count, 3, side, side)


@dataclass(frozen=True, slots=True)
class _Job:
    """A file, the slot for its tiles and the place of its worker."""

    path: Path
    slot: _Slot
    place: int


class _Ended(Exception):
    """A worker that gives no answer any more; kind is "crashed" or "stalled"."""

    def __init__(self, kind: str, words: str) -> None:
        self.kind = kind
        super().__init__(words)


class _Worker:
    """One process: its pipe, and the files that it was told of and has not answered."""

    def __init__(self, maker: TileMaker, output: Normalised | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # a selector that is kept costs a tenth of waiting by multiprocessing
        self._said = DefaultSelector()
        self._said.register(self._pipe, EVENT_READ)
        self.jobs: deque[_Job] = deque()
        self.processor_s, self._seconds = 0.0, maker.limits.seconds
        # starting Python and loading torch is not the first file's fault
        self._started, self._deadline = False, time.monotonic() + _START_S
        self._process = context.Process(target=_work, args=(theirs, maker, output), daemon=True)
        self._process.start()
        theirs.close()

    def take(self, job: _Job) -> None:
        """Tell the worker of one more file."""
        self.jobs.append(job)
        if len(self.jobs) == 1 and self._started:
            self._begin()
        # one that has died is noticed when its answer is waited for
        with suppress(OSError):
            self._pipe.send_bytes(json.dumps([os.fspath(job.path), job.slot.memory.name]).encode())

    def answer(self) -> dict[str, object]:
        """Return what it says about its first file; _Ended when it has died, or when that takes too long."""
        left_s = None if math.isinf(self._deadline) else max(0.0, self._deadline - time.monotonic())
        if not self._said.select(left_s):
            raise _Ended("stalled", f"not done in {self._seconds:g} s")
        try:
            words = json.loads(self._pipe.recv_bytes().decode())
        except (EOFError, OSError) as error:
            self._process.join(5)
            raise _Ended("crashed", f"its process ended with status {self._process.exitcode}") from error
        self.processor_s = float(words.pop("processor_s"))
        self.jobs.popleft()
        self._begin()
        return words

    def _begin(self) -> None:
        self._started = True
        self._deadline = math.inf if self._seconds is None else time.monotonic() + self._seconds

    def stop(self) -> None:
        """End the process."""
        self._said.close()
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, maker: TileMaker, output: Normalised | None) -> None:
    """Make tiles until the pipe closes: the body of a worker process."""
    # an interrupt ends the program that asked, which closes the pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    if output is not None or maker.pixels == "exact":
        # it starts for many files
        COMPILED.load()
    dtype = torch.uint8 if output is None else output.dtype
    slots: dict[str, _Slot] = {}
    # tiles of 8 bits on their way to a slot that gets wider ones
    scratch = None if output is None else memoryview(bytearray(maker.most_bytes))
    while True:
        try:
            path, name = json.loads(pipe.recv_bytes().decode())
        except (EOFError, OSError):
            return
        if name not in slots:
            slots[name] = _Slot.over(SharedMemory(name=name), dtype)
        try:
            picture = maker.read(Path(path))
            words: dict[str, object] = {"size": list(picture.size)}
            tiles_NCHW = maker.tiles(picture, slots[name].memory.buf if scratch is None else scratch)
            if output is not None:
                out_NCHW = slots[name].tiles(len(tiles_NCHW), maker.tile.px)
                normalise(tiles_NCHW, output.mean, output.std, output.dtype, out_NCHW)
        except MediaError as error:
            words = {"error": [error.kind, error.detail, error.hint]}
        except Exception as error:
            # not a file's fault: the program that asked stops with it
            words = {"bug": f"{type(error).__name__}: {error}"}
        pipe.send_bytes(json.dumps({**words, "processor_s": time.process_time()}).encode())
