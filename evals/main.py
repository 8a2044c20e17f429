"""anyres-eval: ask a model all questions of a task, score the answers, and leave a run's folder behind."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from conf.arguments import split_arguments
from conf.build import build
from conf.launch import run_all
from conf.main import COMPOSE_ERRORS, Composed, compose, one_line, told
from conf.own import for_hydra
from conf.schema.evaluate import EvalConfig
from evals.alarm import Degenerate
from evals.doctor import examine
from evals.engine import alone, num_decoders, opened_engine
from evals.judge.judge import JudgeStopped
from evals.judge.ready import check_ready
from evals.judging import judging
from evals.probe import probe
from evals.protocol import NotFinite
from evals.ranks import LAUNCH, Rank, RankLost
from evals.result import FAILED, Result
from evals.run import Manner, choose, finish, predict_run
from evals.store.saved import read_run
from evals.store.whole_file import write_whole
from evals.task import Task
from evals.tasks.build import build_task, task_label, task_words
from evals.trackers import log_all, of_result, tracker
from evals.workers import WorkerLost, follow_parent, run_workers
from video.clip import VideoSpec

# what the doctor writes into the folder `out`
DOCTOR = "doctor.txt"
# settings that do not change an answer: runs that differ only in these share a folder
_FREE = (
    *("alarm", "batch", "blind", "decoders", "doctor", "judge", "max_failed", "out", "retry_failed", "steps"),
    "tracker",
    "workers",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status.

    0; 1 when more samples failed than max_failed, the run is not valid, or the doctor found something; 2 with one line
    for a user's mistake; 3 when the run was stopped: by an alarm, by the judge, or because a process of it was lost.
    """
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known=())
        if arguments.bare:
            raise ValueError(
                f"{arguments.bare[0]}: expected key=value; your own questions are task=folder task.file=..."
            )
        words = task_words([for_hydra(word) for word in arguments.overrides])
        return run_all("evals.main", compose("eval", words), _run)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-eval", error)
    except (Degenerate, NotFinite, RankLost, WorkerLost, JudgeStopped) as error:
        print(f"anyres-eval: stopped: {one_line(error)}", file=sys.stderr)
        if isinstance(error, Degenerate):
            print("anyres-eval: all answers are kept; alarm=null goes on without this alarm", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("anyres-eval: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def run_folder(composed: Composed, config: EvalConfig) -> Path:
    """Return the folder asked for, or one named for everything that changes an answer."""
    if config.out is not None:
        return Path(config.out)
    settled = {key: value for key, value in composed.mapping.items() if key not in _FREE}
    chosen = {group: name for group, name in composed.chosen.items() if group not in _FREE}
    digest = hashlib.sha256(json.dumps([settled, chosen], sort_keys=True).encode()).hexdigest()[:8]
    name = task_label(config.task)
    model = Path(config.source).name if config.engine is None else str(config.engine["model"]).rpartition("/")[2]
    return Path("runs") / "eval" / f"{name}-{model}-{digest}"


def _run(composed: Composed) -> int:
    config = build(EvalConfig, composed.mapping)
    task = build_task(config.task)
    if config.doctor:
        return _examine(task, config)
    out_dir = run_folder(composed, config)
    # a tracker that is not there is told now, not after the answers
    chosen = tracker(config.tracker, out_dir)
    rank = Rank.from_environment(os.environ)
    if LAUNCH in os.environ:
        follow_parent()
    if config.judge is not None and config.steps == "all" and rank.index == 0:
        # and so is a judge that cannot be asked
        check_ready(config.judge, task, choose(task, config.limit))
    if config.steps in ("all", "predict"):
        start = time.perf_counter()
        if config.workers > 1 and rank.world == 1:
            choose(task, config.limit)
            words = [word for word in composed.words if not word.startswith(("workers=", "steps="))]
            command = [sys.executable, "-m", "evals.main", *words, "workers=1", "steps=predict"]
            run_workers(command, config.workers)
        else:
            _predict(task, config, composed.chosen, out_dir, rank)
        wall = time.perf_counter() - start
        if config.steps == "predict" or rank.index > 0:
            return 0
    elif rank.index > 0:
        return 0
    else:
        wall = None
    with judging(config.judge, config.steps) as judge:
        result = finish(task, out_dir, config.limit, judging=judge, wall=wall)
    log_all(chosen, [of_result(out_dir.name, result, read_run(out_dir).config)])
    print(f"{result.markdown()}\n{out_dir}")
    return _code(result, config.max_failed)


def _predict(task: Task, config: EvalConfig, chosen: dict[str, str], out_dir: Path, rank: Rank) -> None:
    samples = choose(task, config.limit)
    count = num_decoders(config.decoders, samples)
    with opened_engine(config, chosen, task, samples) as answerer:
        predict_run(
            task,
            answerer,
            out_dir,
            batching=config.batch,
            blind=config.blind,
            limit=config.limit,
            # one bar: of the first process
            progress=rank.index == 0,
            manner=Manner(rank=rank, alarm=config.alarm, retry=config.retry_failed, threads=max(1, count)),
            # the process that scores waits for the others
            wait=config.steps == "all" and rank.index == 0,
        )
        other = alone(answerer) if rank.index == 0 else None
        if other is not None:
            probe(task, other, samples, out_dir)


def _examine(task: Task, config: EvalConfig) -> int:
    from evals.media.decoders import EVALUATION

    video = build(VideoSpec, config.video, "video") if config.video else VideoSpec()
    limits = config.media.limits(EVALUATION)
    diagnosis = examine(task, video, config.reader, config.limit, max(1, config.decoders or 0), limits)
    print(diagnosis.markdown())
    if config.out is not None:
        Path(config.out).mkdir(parents=True, exist_ok=True)
        write_whole(Path(config.out) / DOCTOR, "".join(f"{words}\n" for words in diagnosis.faults))
        print(f"{Path(config.out) / DOCTOR}: all {len(diagnosis.faults)} media with a fault")
    return 0 if diagnosis.sound else 1


def _code(result: Result, max_failed: float) -> int:
    if result.invalid:
        print(f"anyres-eval: not valid: {result.invalid}", file=sys.stderr)
        return 1
    failed, n = [item for item in result.samples if item.prediction.status in FAILED], len(result.samples)
    if len(failed) <= max_failed * n:
        return 0
    first = f"{failed[0].id}: {failed[0].prediction.status}: {failed[0].prediction.detail}"
    print(
        f"anyres-eval: {len(failed)} of {n} samples failed (max_failed={max_failed}), the first {first}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
