"""Evaluate: predict with a ledger, score, and write the run's folder.

A run folder holds predictions.jsonl (the ledger; blind.jsonl for the blind control), result.json and result.md (the
table), samples.jsonl (every sample's score, sorted by id) and run.json (config, versions, times). All but the ledgers
and run.json depend on the answers alone: the same answers give the same bytes, however often a run was interrupted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evals.alarm import Alarm, AlarmSpec
from evals.controls import shuffle_media
from evals.finish import finish, take_in
from evals.media.sizes import check_unchanged
from evals.predict import Answerer, Batching, Conduct, predict
from evals.ranks import ALONE, Member, Rank
from evals.record import BLIND, PREDICTIONS, choose, digest, run_config, versions, write_result
from evals.result import Result
from evals.store.ledger import Ledger
from evals.task import Task

if TYPE_CHECKING:
    from anyres.grid import GridSpec
    from models.lmm import LMM
    from models.processor import Processor
    from video.clip import VideoSpec

__all__ = [
    "BLIND",
    "PREDICTIONS",
    "Manner",
    "choose",
    "digest",
    "evaluate",
    "finish",
    "predict_run",
    "rescore",
    "run",
    "run_config",
    "versions",
    "write_result",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a run is carried out; nothing here changes an answer.

    rank: which of the processes that share the run this one is. alarm: when answers that are all alike stop the run,
    None for never. retry: ask samples again that failed before. threads: media opened at a time.
    """

    rank: Rank = ALONE
    alarm: AlarmSpec | None = None
    retry: bool = False
    threads: int = 1


def evaluate(
    task: Task,
    model: LMM,
    processor: Processor,
    out_dir: Path,
    grid: GridSpec | None = None,
    video: VideoSpec | None = None,
    *,
    batching: Batching | None = None,
    reader: Literal["auto", "pyav", "torchcodec", "decord"] = "auto",
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
    from evals.media.looking import Looking
    from evals.store.feature_cache import cached

    with cached(model):
        answerer = LmmAnswerer(model, processor, Looking(model, processor, grid=grid, video=video, reader=reader))
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
    manner: Manner | None = None,
) -> Result:
    """Do what `evaluate` does for anything that answers. Where several processes share a run, use its two parts."""
    start = time.perf_counter()
    predict_run(task, answerer, out_dir, batching=batching, blind=blind, limit=limit, progress=progress, manner=manner)
    return finish(task, out_dir, limit, wall=time.perf_counter() - start)


def predict_run(
    task: Task,
    answerer: Answerer,
    out_dir: Path,
    *,
    batching: Batching | None = None,
    blind: bool = False,
    limit: int | None = None,
    progress: bool = True,
    manner: Manner | None = None,
    wait: bool = False,
) -> None:
    """Ask what is not yet answered of this process's share, and write the answers down.

    wait: come back only when the other processes of the run are done too. Raises
    RankLost when one of them has ended early, Degenerate and NotFinite as `manner` and the answerer say.
    """
    manner, out_dir = manner or Manner(), Path(out_dir)
    samples = choose(task, limit)
    asked = [("none", PREDICTIONS, task.name, samples)]
    if blind:
        # what cannot be shuffled is told now, not after the answers
        asked.append(("blind", BLIND, f"{task.name} blind", shuffle_media(samples)))
    facts = answerer.facts()
    with Member(out_dir, manner.rank) as member:
        for control, name, label, shown in asked:
            config = run_config(task, shown, facts, control=control)
            alarm = Alarm(manner.alarm) if manner.alarm is not None and control == "none" else None
            path, share = out_dir / name, manner.rank.share(shown)
            with Ledger(out_dir / manner.rank.file(name), config) as ledger:
                done = take_in(path, ledger, config, manner.rank)
                check_unchanged(share, {**done.predictions, **ledger.predictions}, {**done.sizes, **ledger.sizes})
                if alarm is not None:
                    # in the order in which they were answered
                    by_id = {sample.id: sample for sample in share}
                    before = [(by_id[key], one) for key, one in ledger.predictions.items() if key in by_id]
                    alarm([sample for sample, _ in before], [one for _, one in before])
                conduct = Conduct(
                    threads=manner.threads,
                    retry=manner.retry,
                    done=done.predictions,
                    check=member.check,
                    watch=alarm,
                )
                predict(task, share, answerer, ledger, batching, progress, label, conduct)
        member.done()
        if wait:
            member.wait()


def rescore(task: Task, out_dir: Path, limit: int | None = None) -> Result:
    """Return the result of the predictions in `out_dir`, read and scored anew, and write it there. Needs no model."""
    return finish(task, out_dir, limit)
