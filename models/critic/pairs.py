"""Build preference pairs: of k answers to a question, the best and the worst by their mean pointwise score."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from models.critic.judge import Ask, judge_by
from models.critic.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An answer and its scores, one for each time that it was judged."""

    answer: str
    scores: tuple[Score, ...]

    @property
    def mean(self) -> float | None:
        """Return the mean of the scores that were read; None when none was."""
        values = [score.value for score in self.scores if score.value is not None]
        return fmean(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The answer preferred, the one rejected, and by how much the mean score of the first is higher."""

    chosen: str
    rejected: str
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A pair, or why there is none; unparsed: scores that could not be read."""

    pair: Pair | None
    reason: Literal["paired", "fewer than two scored", "equal scores"]
    unparsed: int


def score_candidates(ask: Ask, question: str, answers: Sequence[str], times: int = 1) -> tuple[Candidate, ...]:
    """Return each answer with `times` scores by a critic; a greedy critic says the same each time."""
    if times < 1:
        raise ValueError(f"score_candidates: expected times of at least 1, got {times}")
    judged = [[judge_by(ask, question, [answer]).score for _ in range(times)] for answer in answers]
    return tuple(
        Candidate(answer=answer, scores=tuple(score for score in scores if score is not None))
        for answer, scores in zip(answers, judged, strict=True)
    )


def best_and_worst(candidates: Sequence[Candidate]) -> Pairing:
    """Return the pair of the highest and the lowest mean, of equal ones the first.

    Candidates without a score that was read are left out and counted, never placed.
    """
    unparsed = sum(score.value is None for one in candidates for score in one.scores)
    scored = [(one.mean, one.answer) for one in candidates if one.mean is not None]
    if len(scored) < 2:
        return Pairing(pair=None, reason="fewer than two scored", unparsed=unparsed)
    high, chosen = max(scored, key=lambda one: one[0])
    low, rejected = min(scored, key=lambda one: one[0])
    if high == low:
        return Pairing(pair=None, reason="equal scores", unparsed=unparsed)
    pair = Pair(chosen=chosen, rejected=rejected, margin=high - low)
    return Pairing(pair=pair, reason="paired", unparsed=unparsed)
