"""What stands at each position of a prompt: text, or the packed tokens of a medium. Integers only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

# the label of a position that is not learned, and the visual index of text
IGNORED = -100
TEXT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Positions in a row: text, of which `ids` and `labels` tell each, or `count` packed tokens from `first` on.

    A visual run has one id for all its positions and no labels: none of them is learned. first: TEXT for text.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...] = ()
    first: int = TEXT
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPlan:
    """One sample's sequence, as runs of text and of packed tokens; its length is that of the sequence."""

    runs: tuple[Run, ...]

    def __len__(self) -> int:
        return sum(run.count for run in self.runs)

    @property
    def ids(self) -> tuple[int, ...]:
        """Return the id at each position."""
        return _joined(run.ids if run.first == TEXT else run.ids * run.count for run in self.runs)

    @property
    def labels(self) -> tuple[int, ...]:
        """Return the id to learn at each position, or -100."""
        return _joined(run.labels if run.first == TEXT else (IGNORED,) * run.count for run in self.runs)

    @property
    def visual(self) -> tuple[int, ...]:
        """Return the index of the packed token at each position, or -1 for text."""
        return _joined(
            (TEXT,) * run.count if run.first == TEXT else range(run.first, run.first + run.count) for run in self.runs
        )

    @classmethod
    def of(cls, ids: Sequence[int], labels: Sequence[int], visual: Sequence[int]) -> "PromptPlan":
        """Return the plan with these ids, labels and visual indices, one of each a position.

        Raises ValueError where they differ in number, or a packed token is learned.
        """
        if not len(ids) == len(labels) == len(visual):
            raise ValueError(f"prompt: {len(ids)} ids, {len(labels)} labels and {len(visual)} visual indices")
        if any(index != TEXT and label != IGNORED for index, label in zip(visual, labels, strict=True)):
            raise ValueError("prompt: a packed token has a label to learn")
        starts = [place for place in range(len(ids)) if place == 0 or _breaks(ids, visual, place)]
        spans = pairwise([*starts, len(ids)])
        return cls(runs=tuple(_run(ids, labels, visual, start, stop) for start, stop in spans))


def _breaks(ids: Sequence[int], visual: Sequence[int], place: int) -> bool:
    """Return whether a position begins a run."""
    before, here = visual[place - 1], visual[place]
    if here == TEXT:
        return before != TEXT
    return here != before + 1 or before == TEXT or ids[place] != ids[place - 1]


def _run(ids: Sequence[int], labels: Sequence[int], visual: Sequence[int], start: int, stop: int) -> Run:
    if visual[start] == TEXT:
        return Run(ids=tuple(ids[start:stop]), labels=tuple(labels[start:stop]), count=stop - start)
    return Run(ids=(ids[start],), first=visual[start], count=stop - start)


def _joined(parts: Iterator[Sequence[int]]) -> tuple[int, ...]:
    return tuple(chain.from_iterable(parts))
