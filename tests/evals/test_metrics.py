"""Intervals, standard errors and baselines against published or hand-worked numbers; the rows of a score."""

import math
from dataclasses import dataclass

import pytest

from evals.metrics.accuracy import accuracy, by_group, majority
from evals.metrics.interval import clustered_se, effective_n, wilson
from evals.parse import parse_choice
from evals.result import Prediction
from evals.sample import Sample
from evals.score import score
from evals.task import Parsed, Task


@dataclass(frozen=True)
class Choice(Task):
    """A task of two kinds in one group."""

    name: str = "toy"
    version: str = "1"
    max_new_tokens: int = 4
    value: float = 1.0

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        return {"G": ("k1", "k2")}

    def samples(self) -> list[Sample]:
        return [
            Sample(
                id=f"toy/{i}",
                media=(),
                question="q",
                answers=("AAAB"[i % 4],),
                options=("x", "y"),
                kind=kind,
                cluster=c,
            )
            for i, (kind, c) in enumerate(
                [("k1", "c0"), ("k1", "c0"), ("k1", "c1"), ("k1", "c1"), ("k2", "c2"), ("k2", "c3")]
            )
        ]

    def prompt(self, sample: Sample) -> str:
        return sample.question

    def parse(self, sample: Sample, text: str) -> Parsed:
        return parse_choice(text, sample.options, sample.labels)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        return self.value * (parsed.answer == sample.answer)


def said(*texts: str) -> dict[str, Prediction]:
    return {
        f"toy/{i}": Prediction(id=f"toy/{i}", text=text, status="ok", visual_tokens=10 * i)
        for i, text in enumerate(texts)
    }


def test_wilson_published_values() -> None:
    # Newcombe, Stat. Med. 17 (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29
    for x, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(x, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="0 to 3"):
        wilson(4, 3)


def test_clustered_se_by_hand() -> None:
    scores = [1.0, 1.0, 0.0, 0.0]
    residuals = [(s - 0.5) / 4 for s in scores]
    # two clusters with sums +1/4 and -1/4: sqrt(2 / 1 * 2 / 16) = 0.5
    assert clustered_se(residuals, ["a", "a", "b", "b"]) == pytest.approx(0.5)
    # four clusters: sqrt(4 / 3 * 4 / 64), the usual sqrt(var / n)
    assert clustered_se(residuals, list("abcd")) == pytest.approx(math.sqrt(1 / 12))
    # clusters that cancel: 0, never the root of a negative number
    assert clustered_se(residuals, ["a", "b", "a", "b"]) == 0
    assert clustered_se(residuals, ["a"] * 4) is None


def test_effective_n_inverts_the_binomial_error() -> None:
    assert effective_n(0.3, math.sqrt(0.3 * 0.7 / 50), 200) == pytest.approx(50)
    assert effective_n(1.0, 0.0, 7) == 7
    assert effective_n(0.5, None, 7) == 7


def test_accuracy_and_groups() -> None:
    assert accuracy([1, 0, 0, 1]) == 0.5
    assert by_group([("b", 1.0), ("a", 0.0), ("b", 0.5)]) == {"b": [1.0, 0.5], "a": [0.0]}
    with pytest.raises(ValueError, match="no samples"):
        accuracy([])


def test_majority_is_per_kind_and_knows_second_answers() -> None:
    def of(kind: str, *answers: str) -> Sample:
        return Sample(id=kind + answers[0], media=(), question="", answers=answers, kind=kind)

    samples = [of("a", "x"), of("a", "y", "x"), of("a", "z"), of("b", "z"), of("b", "z")]
    assert majority(samples) == pytest.approx(4 / 5)


def test_rows_count_every_sample() -> None:
    task = Choice()
    predictions = said("A", "B", "A", "hmm", "(a)", "B")
    predictions["toy/5"] = Prediction(id="toy/5", text="", status="media_error", detail="gone")
    result = score(task, task.samples(), predictions)
    k1, k2, everything, mean = (result.row(name) for name in ("k1", "k2", "all", "mean"))
    assert [row.task for row in result.rows] == ["k1", "k2", "G", "all", "mean"]
    # golds A A A B | A A; said A B A none | A failed
    assert (k1.n, k1.accuracy, k1.unparsed, k1.failed, k1.guess) == (4, 0.5, 1, 0, 0.625)
    assert (k2.n, k2.accuracy, k2.unparsed, k2.failed, k2.tokens) == (2, 0.5, 0, 1, 40)
    assert (everything.n, everything.failed, everything.majority) == (6, 1, pytest.approx(5 / 6))
    assert mean.accuracy == 0.5
    assert mean.majority == pytest.approx((0.75 + 1) / 2)
    assert result.notes == ("1 of 6 samples are media_error and score 0", "1 of 6 samples are unparsed and score 0")
    # one question a cluster is plain Wilson; two clusters of two say less than four samples
    assert (k2.low, k2.high) == pytest.approx(wilson(1, 2))
    assert k1.low < wilson(2, 4)[0] and wilson(2, 4)[1] < k1.high
    assert "| k1 | 4 | 0.500 |" in result.markdown()


def test_mean_weighs_kinds_equally_and_blind_is_joined_by_id() -> None:
    task = Choice()
    result = score(task, task.samples(), said("A", "A", "A", "A", "B", "B"), blind=said("B", "B", "B", "B", "A", "A"))
    assert result.row("all").accuracy == pytest.approx(3 / 6)
    assert result.row("mean").accuracy == pytest.approx((3 / 4 + 0) / 2)
    assert result.row("mean").blind == pytest.approx((1 / 4 + 1) / 2)
    # k1's clusters have residuals 2 * .25 / 8 and 0 (+.25 - .75) / 8 = -.5 / 8; k2 has none: sqrt(4/3 * 2 * (.5/8)^2)
    assert result.row("mean").se == pytest.approx(math.sqrt(4 / 3 * 2 * (0.5 / 8) ** 2))


def test_a_missing_prediction_is_an_error() -> None:
    task = Choice()
    with pytest.raises(ValueError, match="1 of 6 samples have no prediction, as toy/5"):
        score(task, task.samples(), said("A", "A", "A", "A", "A"))


def test_no_samples_and_scores_that_are_no_number_are_said() -> None:
    empty = score(Choice(), [], {})
    assert empty.rows == ()
    assert empty.notes == ("no samples: nothing was measured",)
    assert "no samples" in empty.markdown()
    broken = score(Choice(value=math.nan), Choice().samples(), said("A", "A", "A", "A", "A", "A"))
    assert broken.row("all").failed == 6
    assert broken.row("all").accuracy == 0
    assert broken.row("all").tokens is None
    assert "nan" in broken.samples[0].prediction.detail


def test_one_sample_and_all_unparsed() -> None:
    task = Choice()
    one = task.samples()[:1]
    result = score(task, one, said("A"))
    assert (result.row("all").accuracy, result.row("all").se) == (1.0, None)
    unparsed = score(task, task.samples(), said(*["?"] * 6))
    assert unparsed.row("all").accuracy == 0
    assert unparsed.row("all").guess == pytest.approx(0.5)


def test_one_answer_to_everything_is_noted() -> None:
    task = Choice()
    samples = [
        Sample(id=f"toy/{i}", media=(), question="q", answers=("AB"[i % 2],), options=("x", "y")) for i in range(20)
    ]
    assert "degenerate: 'A' is the answer to 20 of 20" in score(task, samples, said(*["A"] * 20)).notes[0]
