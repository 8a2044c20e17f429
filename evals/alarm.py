"""Stop a run whose answers no longer depend on the questions, before it has cost its whole time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from evals.result import FAILED, Prediction
from evals.sample import Sample


class Degenerate(Exception):
    """The answers of a run are one answer; the message says which and how often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSpec:
    """When a run stops. 0 switches a rule off.

    constant: the same text so many times in a row, where it is right for fewer than half of them. share: one answer to
    more than this share of at least `after` questions, and 1.5 times as often as the commonest right answer.
    """

    constant: int = 20
    share: float = 0.6
    after: int = 100

    def __post_init__(self) -> None:
        if self.constant < 0 or not 0 <= self.share <= 1 or self.after < 1:
            raise ValueError(
                f"alarm: expected constant of at least 0, a share between 0 and 1 and after of at least 1, got "
                f"{self.constant}, {self.share}, {self.after}"
            )


class Alarm:
    """Watches answers as they are written down; call it with samples and their predictions, in order."""

    def __init__(self, spec: AlarmSpec) -> None:
        self.spec = spec
        self._last: deque[tuple[str, bool]] = deque(maxlen=max(1, spec.constant))
        self._answers: Counter[str] = Counter()
        self._golds: Counter[str] = Counter()

    def __call__(self, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Count answers; Degenerate when a rule is broken. Failed samples are not answers."""
        for sample, prediction in zip(samples, predictions, strict=True):
            if prediction.status in FAILED:
                continue
            text = prediction.text.strip()
            self._last.append((text, (prediction.answer or text) in sample.answers))
            self._golds[sample.answer] += 1
            if prediction.answer is not None and sample.options:
                self._answers[prediction.answer] += 1
            self._check_constant()
        self._check_share()

    def _check_constant(self) -> None:
        if not self.spec.constant or len(self._last) < self.spec.constant:
            return
        text = self._last[-1][0]
        if all(other == text for other, _ in self._last) and 2 * sum(right for _, right in self._last) < len(
            self._last
        ):
            raise Degenerate(f"the last {len(self._last)} answers are all {text[:60]!r}")

    def _check_share(self) -> None:
        total = self._answers.total()
        if not self.spec.share or total < self.spec.after:
            return
        answer, count = self._answers.most_common(1)[0]
        golds = self._golds.most_common(1)[0][1]
        if count > self.spec.share * total and count > 1.5 * golds:
            raise Degenerate(f"{answer!r} is the answer to {count} of {total} questions, and right for at most {golds}")
