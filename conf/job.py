"""One job of a sweep: a command line that runs as a process of its own, wherever a launcher puts it.

Whatever starts it, a job is the same command that a user could type, in the same folder: its results are those of a
sequential run, and a job that was stopped goes on when it is started again.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

# what a command returns when it was interrupted
INTERRUPTED = 130
# seconds between looks at a running job, and for it to end after it was interrupted
_LOOK_S, _GRACE_S = 0.1, 30.0
_TAIL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command as a module that Python runs and its words; name: what tells it from the other jobs of its sweep.

    out: what it prints goes to `out`.out, what it complains about to `out`.err. cwd: the folder it runs in.
    """

    name: str
    module: str
    words: tuple[str, ...]
    out: Path
    cwd: Path

    @property
    def command(self) -> tuple[str, ...]:
        """Return the command line."""
        return (sys.executable, "-m", self.module, *self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a job ended. code: its exit status, 0 for success; seconds: how long it ran; detail: its last complaint."""

    name: str
    code: int
    seconds: float
    printed: str = ""
    detail: str = ""


def run_job(job: Job, env: Mapping[str, str] | None = None, stop: Event | None = None) -> Finished:
    """Run a job to its end and return how it ended; it never raises for what the job does.

    env: variables on top of the environment's own. stop: once set, the job is interrupted, as by Ctrl-C, and one that
    has not begun does not begin.
    """
    start = time.perf_counter()
    if stop is not None and stop.is_set():
        return Finished(name=job.name, code=INTERRUPTED, seconds=0.0, detail="not started")
    job.out.parent.mkdir(parents=True, exist_ok=True)
    out, err = job.out.with_suffix(".out"), job.out.with_suffix(".err")
    with out.open("wb") as printed, err.open("wb") as complained:
        # a session of its own: Ctrl-C in the terminal reaches it once, through `stop`
        process = subprocess.Popen(
            job.command,
            cwd=job.cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complained,
            start_new_session=True,
        )
        try:
            code = _wait(process, stop)
        except BaseException:
            # a launcher's worker that is cancelled takes its job with it
            _interrupt(process)
            raise
    return Finished(
        name=job.name,
        code=code,
        seconds=time.perf_counter() - start,
        printed=out.read_text(errors="replace"),
        detail=_last_line(err.read_text(errors="replace")),
    )


def name_jobs(words_of_jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each job: the words that not all jobs have in common, or "job" for a single one."""
    common = set(words_of_jobs[0]).intersection(*words_of_jobs) if words_of_jobs else set()
    return [" ".join(word for word in words if word not in common) or "job" for words in words_of_jobs]


def _wait(process: "subprocess.Popen[bytes]", stop: Event | None) -> int:
    """Return the exit status; 128 + signal where one ended the process, as a shell tells it."""
    while process.poll() is None:
        if stop is None:
            time.sleep(_LOOK_S)
        elif stop.wait(_LOOK_S):
            _interrupt(process)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """End a job as Ctrl-C does, which leaves a whole ledger; by force when it takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text[-_TAIL:].splitlines() if line.strip()]
    return lines[-1] if lines else ""
