"""Where the jobs of a sweep run: one after the other, in local processes, on a SLURM cluster, or on Ray.

Each launcher is a dataclass of its settings (conf/launcher/NAME.yaml) with one method, which yields how each job ended,
in the order they end. The packages are imported on first use: a launcher that is not chosen needs none.
"""

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from threading import BoundedSemaphore, Event
from typing import Any, Literal, Protocol

from conf.job import Finished, Job, run_job


class Launcher(Protocol):
    """What starts jobs. folder: where what they print is kept; a name under it is made for each sweep."""

    name: str
    folder: str

    def launch(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Yield how each job ended. A KeyboardInterrupt stops the jobs that run, and those that wait do not begin."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Joblib:
    """Local processes, `jobs` at once (joblib). gpus: their indices, one job each; then at most so many jobs at once.

    threads: of each job's computations; None: the machine's processors divided by the jobs at once.
    """

    jobs: int = 2
    gpus: tuple[int, ...] = ()
    threads: int | None = None
    folder: str = "runs/launch"
    name: Literal["joblib"] = "joblib"

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"launcher.jobs: expected at least 1, got {self.jobs}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"launcher.threads: expected at least 1, or null, got {self.threads}")

    def launch(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Yield how each job ended, in the order they end."""
        joblib = _package("joblib", "launch")
        at_once = min(self.jobs, len(self.gpus)) if self.gpus else self.jobs
        threads = self.threads or max(1, (os.cpu_count() or 1) // at_once)
        free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for gpu in self.gpus:
            free.put(gpu)
        stop, running = Event(), BoundedSemaphore(at_once)

        def one(job: Job) -> Finished:
            env = {"OMP_NUM_THREADS": str(threads)}
            with running:
                if not self.gpus:
                    return run_job(job, env, stop)
                gpu = free.get()
                try:
                    return run_job(job, {**env, "CUDA_VISIBLE_DEVICES": str(gpu)}, stop)
                finally:
                    free.put(gpu)

        # threads only wait here: every job is a process
        parallel = joblib.Parallel(n_jobs=at_once, backend="threading", return_as="generator_unordered")
        ended = parallel(joblib.delayed(one)(job) for job in jobs)
        try:
            yield from ended
        except (KeyboardInterrupt, GeneratorExit):
            stop.set()
            # joblib leaves its threads behind: wait until none of them has a job any more
            for _ in range(at_once):
                running.acquire()
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitit:
    """A SLURM cluster, or local processes in its place (cluster: "local"), through submitit: an array of jobs.

    A job that SLURM preempts or that runs out of time is put back in the queue, and goes on from its ledger.
    setup: shell lines before each job. extra: further parameters of submitit's executor, as slurm_constraint.
    wait: stay until all jobs ended; otherwise print their ids and return.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    timeout_min: int = 240
    cpus_per_task: int = 4
    gpus_per_node: int = 0
    mem_gb: int | None = None
    partition: str | None = None
    account: str | None = None
    at_once: int = 256
    setup: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    wait: bool = True
    folder: str = "runs/launch"
    name: Literal["submitit"] = "submitit"

    def launch(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Yield how each job ended, in their own order."""
        submitit = _package("submitit", "launch")
        executor = submitit.AutoExecutor(folder=jobs[0].out.parent / "submitit", cluster=self.cluster)
        executor.update_parameters(**self._parameters())
        with executor.batch():
            running = [executor.submit(Requeued(), job) for job in jobs]
        if not self.wait:
            for job, handle in zip(jobs, running, strict=True):
                yield Finished(name=job.name, code=0, seconds=0.0, printed=f"submitted as {handle.job_id}")
            return
        try:
            for job, handle in zip(jobs, running, strict=True):
                yield _result(job, handle.result, submitit.core.utils.UncompletedJobError)
        except (KeyboardInterrupt, GeneratorExit):
            for handle in running:
                if not handle.done():
                    handle.cancel()
            raise

    def _parameters(self) -> dict[str, Any]:
        common = {
            "name": "anyres",
            "timeout_min": self.timeout_min,
            "cpus_per_task": self.cpus_per_task,
            "gpus_per_node": self.gpus_per_node,
            **({} if self.mem_gb is None else {"mem_gb": self.mem_gb}),
        }
        if self.cluster == "local":
            return common
        slurm = {"partition": self.partition, "account": self.account, "setup": list(self.setup) or None}
        named = {f"slurm_{key}": value for key, value in slurm.items() if value is not None}
        return {**common, **named, "slurm_array_parallelism": self.at_once, **self.extra}


class Requeued:
    """A job as submitit keeps it: what it calls, and what it puts in the queue again when SLURM takes the node away."""

    def __call__(self, job: Job) -> Finished:
        """Return how the job ended."""
        return run_job(job)

    def checkpoint(self, job: Job) -> object:
        """Return the same job for another start; its ledger says where it goes on."""
        return _package("submitit", "launch").helpers.DelayedSubmission(self, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """A Ray cluster (address, or "auto" inside one), or one started here for the sweep (None).

    cpus, gpus: of each job. All nodes see the working folder at the same path.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    folder: str = "runs/launch"
    name: Literal["ray"] = "ray"

    def launch(self, jobs: Sequence[Job]) -> Iterator[Finished]:
        """Yield how each job ended, in the order they end."""
        ray = _package("ray", "ray")
        local = {} if self.address else {"include_dashboard": False}
        ray.init(address=self.address, log_to_driver=False, **local)
        remote = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(run_job)
        waiting = {remote.remote(job): job for job in jobs}
        try:
            while waiting:
                (ended, *_), _ = ray.wait(list(waiting), num_returns=1)
                yield _result(waiting.pop(ended), lambda ref=ended: ray.get(ref), ray.exceptions.RayError)
        except (KeyboardInterrupt, GeneratorExit):
            for reference in waiting:
                ray.cancel(reference, force=False)
            # a job that does not notice goes on to its end
            ray.wait(list(waiting), num_returns=len(waiting), timeout=_STOP_S)
            raise
        finally:
            ray.shutdown()


# seconds for the jobs of a sweep that was interrupted
_STOP_S = 30.0
LAUNCHERS: dict[str, type] = {"joblib": Joblib, "submitit": Submitit, "ray": Ray}


def _result(job: Job, get: Callable[[], Finished], lost: type[Exception]) -> Finished:
    """Return what a job returned, or that it was lost with its node."""
    try:
        return get()
    except lost as error:
        return Finished(name=job.name, code=1, seconds=0.0, detail=f"lost: {str(error).splitlines()[0]}")


def _package(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"launcher={name}: needs the package {name} (pip install 'anyres[{extra}]')") from error
