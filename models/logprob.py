"""The log-probability of a text: never positive, so that it cannot be mistaken for a loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

# what options are compared by: the whole log-probability, or its mean over tokens
Compared = Literal["total", "per_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProb:
    """Natural log-probability of `tokens` tokens given what comes before; a positive or no number is a ValueError."""

    total: float
    tokens: int

    def __post_init__(self) -> None:
        # also true for nan; rounding may leave a certain token a little above 0
        if not self.total <= 1e-6 or self.tokens < 1:
            raise ValueError(f"log-probability {self.total} of {self.tokens} tokens: expected at most 0, of 1 or more")

    @property
    def per_token(self) -> float:
        """Return the mean over tokens."""
        return self.total / self.tokens


def most_likely(options: Sequence[LogProb], compared: Compared = "total") -> int:
    """Return the index of the option with the greatest log-probability, the first of equals; never drawn.

    Raises ValueError for no options, and where every option is impossible.
    """
    if compared not in get_args(Compared):
        raise ValueError(f"compared: got {compared!r}, expected one of {get_args(Compared)}")
    values = [option.total if compared == "total" else option.per_token for option in options]
    if not values or math.isinf(max(values)):
        raise ValueError(f"most_likely: {len(values)} options, expected at least one with a chance above 0")
    return values.index(max(values))
