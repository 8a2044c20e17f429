"""A process that answers one JSON line for each that comes in: one that crashes or hangs costs its line alone."""

import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ADDRESS_SPACE = 16 << 30
START_SECONDS = 120.0

_STATUS = Path("/proc/self/status")
_RESTART = Path("/proc/self/clear_refs")


def answer_lines(answer: Callable[[Any], Any]) -> None:
    """Answer each line of standard input until its end; what else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def restart_peak() -> float:
    """Forget the highest resident memory so far; return the present one in MB."""
    _RESTART.write_text("5")
    return _status("VmRSS")


def peak_mb() -> float:
    """Return the highest resident memory since restart_peak, in MB."""
    return _status("VmHWM")


class Contained:
    """A process of `answer_lines`, started again when it has died."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._start()

    def ask(self, question: Any, seconds: float) -> Any:
        """Return the answer, "hang" when it does not come in time, or "crash: SIGNAL"."""
        if self._process.poll() is not None:
            self._start()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        line = self._line(seconds)
        if line is None:
            self.stop()
            return "hang"
        if not line:
            code = self._process.wait()
            return f"crash: {signal.Signals(-code).name if code < 0 else f'exit {code}'}"
        return json.loads(line)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if self._line(START_SECONDS) != "ready":
            raise RuntimeError(f"did not start: {' '.join(self._command)}")

    def _line(self, seconds: float) -> str | None:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return self._process.stdout.readline().decode().strip() if ready else None


def _status(name: str) -> float:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))
