"""Figures of whole runs: by hand, defined for any multiset, with intervals that know neither order nor hash seed."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from evals.judge.form import JudgeFailure, JudgeForm, Verdict
from evals.metrics import pairs, yesno
from evals.parse import parse_text
from evals.result import Prediction, Scored
from evals.sample import Sample
from evals.score import score
from evals.tally import figure_difference, figure_row
from evals.task import Figure, Parsed, Task


def item(index: int, right: bool, kind: str = "k", cluster: str = "", gold: str = "yes", said: str = "yes") -> Scored:
    prediction = Prediction(id=f"{index:04d}", text=said, status="ok", answer=said)
    return Scored(
        id=f"{index:04d}",
        kind=kind,
        cluster=cluster or str(index),
        gold=gold,
        score=float(right),
        prediction=prediction,
    )


def judged_run(answers: Sequence[tuple[str, str]]) -> list[Scored]:
    """Return yes/no samples from (right answer, answer given)."""
    return [item(i, gold == said, gold=gold, said=said) for i, (gold, said) in enumerate(answers)]


def test_yes_no_figures_by_hand() -> None:
    # 3 hits, 1 false alarm, 2 misses of which one is unparsed, 4 right "no"
    answers = [("yes", "yes")] * 3 + [("no", "yes")] + [("yes", "no"), ("yes", "hm")] + [("no", "no")] * 4
    samples = judged_run(answers)
    assert yesno.precision(samples) == 3 / 4
    assert yesno.recall(samples) == 3 / 5
    assert yesno.f1(samples) == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    # of what was said, not of what is right (5 of 10)
    assert yesno.yes_ratio(samples) == 4 / 10
    assert math.isnan(yesno.f1(judged_run([("no", "no")])))
    assert [figure.compute(samples) for figure in yesno.yes_no_figures(name="all ")] == pytest.approx(
        [0.75, 0.6, yesno.f1(samples), 0.4]
    )


def test_accuracy_plus_and_mme_by_hand() -> None:
    # two images in "a": one pair right, one half right; one image in "b": all right
    samples = [
        item(0, True, "a", "x"),
        item(1, True, "a", "x"),
        item(2, True, "a", "y"),
        item(3, False, "a", "y"),
        item(4, True, "b", "z"),
        item(5, True, "b", "z"),
    ]
    assert pairs.accuracy_plus(samples) == pytest.approx(2 / 3)
    assert pairs.mme_score(samples, ("a",)) == pytest.approx(75 + 50)
    assert pairs.mme_figure("both", ("a", "b")).compute(samples) == pytest.approx(125 + 200)
    assert pairs.mme_figure("both", ("a", "b")).unit == "of 400"
    assert pairs.macro_mean(samples, ("a", "b")) == pairs.macro_mean_figure("m", ("a", "b")).compute(samples) == 0.875
    assert pairs.sum_figure("hits").compute(samples) == 5
    # a draw that holds a pair twice counts it twice, and one without a kind has no sum
    assert pairs.accuracy_plus([*samples, samples[2], samples[3]]) == pytest.approx(2 / 4)
    assert math.isnan(pairs.mme_score(samples[:4], ("a", "b")))


def random_run(seed: int, shift: float = 0.0) -> list[Scored]:
    draw = random.Random(seed)
    run = []
    for cluster in range(60):
        ease = 0.3 + 0.6 * random.Random(cluster).random() + shift
        run += [item(2 * cluster + i, draw.random() < ease, "ab"[cluster % 2], f"c{cluster}") for i in (0, 1)]
    return run


@pytest.mark.parametrize("figure", [pairs.accuracy_plus_figure(), pairs.macro_mean_figure("mean", ("a", "b"))])
def test_sums_and_whole_samples_give_one_interval(figure: Figure) -> None:
    run = random_run(0)
    slow = replace(figure, parts=None, total=None)
    one, other = figure_row(figure, run), figure_row(slow, run)
    assert one.low < one.value < one.high
    if figure.name == "mean":
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-9)


def test_interval_knows_no_order() -> None:
    run = random_run(1)
    shuffled = random.Random(5).sample(run, len(run))
    for figure in (pairs.accuracy_plus_figure(), *yesno.yes_no_figures(), Figure(name="max", compute=len)):
        assert figure_row(figure, run) == figure_row(figure, shuffled)


def test_difference_of_a_figure_is_paired() -> None:
    base, new = random_run(0), random_run(0, 0.15)
    figure = pairs.accuracy_plus_figure()
    found = figure_difference(figure, new, base)
    assert found.value == pytest.approx(figure.compute(new) - figure.compute(base))
    assert found.low < found.value < found.high
    same = figure_difference(figure, base, base, method="bca")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    slow = figure_difference(replace(figure, parts=None, total=None), new, base, replicates=300)
    fast = figure_difference(figure, new, base, replicates=300)
    assert (slow.value, slow.low, slow.high) == pytest.approx((fast.value, fast.low, fast.high), abs=1e-9)
    with pytest.raises(ValueError, match="not the same"):
        figure_difference(figure, new[1:], base)


FORM = JudgeForm(
    name="toy@v1",
    system="",
    text="{q}",
    top=5,
    fill=lambda samples, answers: {"q": answers[0]},
    reader="toy@v1",
    read=lambda sample, reply: None,
    decides=True,
)


@dataclass(frozen=True)
class Open(Task):
    """Forty open questions on twenty clips; a judge gives 0 to 5."""

    form: JudgeForm | None = FORM
    name: str = "open"
    version: str = "1"
    max_new_tokens: int = 4

    @property
    def judge(self) -> JudgeForm | None:
        return self.form

    def samples(self) -> list[Sample]:
        return [
            Sample(id=f"{i:02d}", media=(), question="q", answers=("cat",), kind="ab"[i % 2], cluster=f"c{i // 2}")
            for i in range(40)
        ]

    def prompt(self, sample: Sample) -> str:
        return sample.question

    def parse(self, sample: Sample, text: str) -> Parsed:
        return parse_text(text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        return float(parsed.answer in sample.answers)


def said(text: str = "dog", **changed: str) -> dict[str, Prediction]:
    return {f"{i:02d}": Prediction(id=f"{i:02d}", text=text, status="ok", visual_tokens=9) for i in range(40)}


def test_verdicts_are_the_scores_and_failures_are_in_no_mean() -> None:
    task, predictions = Open(), said()
    predictions["05"] = Prediction(id="05", text="", status="media_error", detail="gone")
    verdicts = {f"{i:02d}": Verdict(score=5 if i < 20 else 0, correct=i < 20) for i in range(40) if i not in (5, 7, 30)}
    verdicts["07"] = JudgeFailure(detail="no object in the reply")
    result = score(task, task.samples(), predictions, verdicts=verdicts)
    row = result.row("all")
    # 18 fives, the broken clip's 0, 19 zeros; one failure of the judge and one question it was not asked
    assert (row.n, row.judge_errors, row.failed) == (40, 2, 1)
    assert row.accuracy == pytest.approx(18 * 5 / 38)
    assert row.answered == pytest.approx(18 * 5 / 37)
    assert 0 < row.low < row.accuracy < row.high < 5
    assert result.figure("judged correct").value == pytest.approx(18 / 38)
    assert "the judge failed on 2 of 40" in result.invalid
    assert "2 of 40 samples (5.0 %) are judge_error and in no mean" in result.notes
    assert {item.id: item.prediction.detail for item in result.samples if not item.judged} == {
        "07": "no object in the reply",
        "30": "the judge was not asked",
    }
    text = result.markdown()
    assert "**Not valid" in text
    assert "score of 5" in text
    assert "judge errors" in text
    assert score(task, task.samples(), predictions, verdicts=verdicts, max_judge_errors=0.1).invalid == ""
    json.dumps(result.summary(), allow_nan=False)


def test_without_verdicts_the_tasks_own_comparison_stands_and_is_said() -> None:
    task = Open()
    result = score(task, task.samples(), said("cat"))
    assert (result.top, result.row("all").accuracy, result.row("all").majority) == (1.0, 1.0, 1.0)
    assert "not judged" in result.notes[0]
    assert result.invalid == ""


def test_a_judge_that_only_helps_to_read_leaves_the_rows() -> None:
    task = Open(form=replace(FORM, top=1, unparsed_only=True))
    predictions = said("cat")
    for i in range(10):
        predictions[f"{i:02d}"] = Prediction(id=f"{i:02d}", text="...", status="ok")
    verdicts = {f"{i:02d}": Verdict(score=1.0, correct=True) for i in range(4)}
    result = score(task, task.samples(), predictions, verdicts=verdicts)
    assert result.row("all").accuracy == 30 / 40
    assert result.row("all").unparsed == 10
    assert result.figure("accuracy with judge").value == 34 / 40


def test_relative_scores_and_scores_out_of_range() -> None:
    task = Open(form=replace(FORM, top=10, decides=False))
    verdicts = {f"{i:02d}": Verdict(score=6, reference=8) for i in range(40)}
    result = score(task, task.samples(), said(), verdicts=verdicts)
    assert result.figure("relative score").value == pytest.approx(75)
    verdicts["00"] = Verdict(score=11, reference=8)
    broken = score(task, task.samples(), said(), verdicts=verdicts)
    assert broken.samples[0].prediction.status == "error"
    assert broken.row("all").failed == 1


def test_all_judge_errors_are_no_number() -> None:
    task = Open()
    result = score(task, task.samples(), said(), verdicts={})
    assert math.isnan(result.row("all").accuracy)
    assert result.invalid
    assert "| all | 40 | - | - |" in result.markdown()
    json.dumps(result.summary(), allow_nan=False)


SCRIPT = """
import random, sys
sys.path.insert(0, {folder!r})
import test_metrics_figures as t
task = t.Open()
samples, verdicts = task.samples(), {{f"{{i:02d}}": t.Verdict(score=i % 6, correct=i % 3 == 0) for i in range(40)}}
predictions = t.said()
random.Random({seed}).shuffle(samples)
order = sorted(predictions, key=lambda k: hash((k, {seed})))
result = t.score(task, sorted(samples, key=lambda s: s.kind), {{k: predictions[k] for k in order}}, verdicts=verdicts)
sys.stdout.write(repr(result.summary()) + result.markdown())
"""


def test_results_depend_neither_on_order_nor_on_the_hash_seed() -> None:
    outputs = set()
    for seed in ("0", "1", "77"):
        code = SCRIPT.format(folder=str(Path(__file__).parent), seed=seed)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            capture_output=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
