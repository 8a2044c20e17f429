"""anyres-eval: ask a model all questions of a task, score the answers, and leave a run's folder behind."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.arguments import split_arguments
from conf.build import build
from conf.launch import run_all
from conf.main import COMPOSE_ERRORS, Composed, compose, one_line
from conf.own import for_hydra, settings
from conf.schema import EvalConfig
from evals.result import FAILED, Result
from evals.run import evaluate, rescore
from evals.task import Task
from evals.tasks.build import build_task, task_label, task_words

# settings that do not change an answer: runs that differ only in these share a folder
_FREE = ("batch", "blind", "max_failed", "out", "score_only")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 when more samples failed than max_failed, 2 with one line for a user's mistake."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known=())
        if arguments.bare:
            raise ValueError(
                f"{arguments.bare[0]}: expected key=value; your own questions are task=folder task.file=..."
            )
        words = task_words([for_hydra(word) for word in arguments.overrides])
        return run_all("evals.main", compose("eval", words), _run)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"anyres-eval: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anyres-eval: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def run_folder(composed: Composed, config: EvalConfig) -> Path:
    """Return the folder asked for, or one named for everything that changes an answer."""
    if config.out is not None:
        return Path(config.out)
    settled = {key: value for key, value in composed.mapping.items() if key not in _FREE}
    digest = hashlib.sha256(json.dumps([settled, composed.chosen], sort_keys=True).encode()).hexdigest()[:8]
    name = task_label(config.task)
    return Path("runs") / "eval" / f"{name}-{Path(config.source).name}-{digest}"


def _run(composed: Composed) -> int:
    config = build(EvalConfig, composed.mapping)
    task = build_task(config.task)
    out_dir = run_folder(composed, config)
    if config.score_only:
        result = rescore(task, out_dir, config.limit)
    else:
        result = _evaluate(task, config, composed.chosen, out_dir)
    print(f"{result.markdown()}\n{out_dir}")
    return _code(result, config.max_failed)


def _evaluate(task: Task, config: EvalConfig, chosen: dict[str, str], out_dir: Path) -> Result:
    # loading torch and transformers takes seconds: not for --help, and not before the words make sense
    import torch

    from anyres.grid import GridSpec
    from models.build import load
    from video.clip import VideoSpec

    device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    dtype = None if config.dtype is None else dtypes[config.dtype]
    model, processor = load(config.source, device=device, dtype=dtype, rope_factor=config.rope_factor)
    return evaluate(
        task,
        model,
        processor,
        out_dir,
        grid=settings(GridSpec, config.grid, processor.spec.grid, chosen, "grid"),
        video=settings(VideoSpec, config.video, processor.spec.video, chosen, "video"),
        batching=config.batch,
        reader=config.reader,
        blind=config.blind,
        limit=config.limit,
    )


def _code(result: Result, max_failed: float) -> int:
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
