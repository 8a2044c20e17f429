"""Run a command in several processes of this machine, each with its share; when one fails, the others are stopped.

The processes find their place in RANK and WORLD_SIZE, as torchrun tells it, and end when this one does.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO

from evals.ranks import LAUNCH

_LOOK_S, _GRACE_S = 0.1, 10.0
_TAIL = 2000


class WorkerLost(Exception):
    """A process of the run that ended early; the message says which, how, and its last words."""


def run_workers(command: Sequence[str], world: int) -> None:
    """Run `command` in `world` processes until all have ended well; WorkerLost when one has not.

    The first one shows its progress; what the others say is kept for the message.
    """
    with ExitStack() as files:
        said = [None if index == 0 else files.enter_context(tempfile.TemporaryFile()) for index in range(world)]
        _run(command, world, said)


def environment(given: Mapping[str, str], index: int, world: int, launch: str) -> dict[str, str]:
    """Return the environment of one process; cores are shared equally unless OMP_NUM_THREADS says otherwise."""
    place = {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": str(world), LAUNCH: launch}
    threads = str(max(1, (os.cpu_count() or 1) // world))
    return {"OMP_NUM_THREADS": threads, **given, **place}


def follow_parent() -> None:
    """End this process when the one that started it has ended: its end of standard input closes."""

    def wait() -> None:
        # not sys.stdin: its lock would keep the interpreter from ending
        while os.read(0, 4096):
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def _run(command: Sequence[str], world: int, said: Sequence[IO[bytes] | None]) -> None:
    launch = uuid.uuid4().hex
    workers = [
        subprocess.Popen(
            list(command),
            env=environment(os.environ, index, world, launch),
            # open as long as this process lives
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said[index],
        )
        for index in range(world)
    ]
    try:
        running = set(range(world))
        while running:
            for index in sorted(running):
                code = workers[index].poll()
                if code is None:
                    continue
                running.discard(index)
                if code != 0:
                    raise WorkerLost(_lost(index, world, workers[index].pid, code, said[index]))
            time.sleep(_LOOK_S if running else 0)
    finally:
        _stop(workers)


def _stop(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """End those that still run: at most a micro-batch each is lost."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    until = time.monotonic() + _GRACE_S
    for worker in workers:
        try:
            worker.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()


def _lost(index: int, world: int, pid: int, code: int, said: IO[bytes] | None) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    words = ""
    if said is not None:
        said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL))
        lines = [line for line in said.read().decode(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
        words = f": {lines[-1]}" if lines else ""
    return f"process {index} of {world} (pid {pid}) {how}{words}; the same command goes on from here"
