"""What a run gives: one Prediction a sample, and a Result with Rows (kinds, groups, means) and further figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Literal

from evals.judge.form import Verdict

Status = Literal["ok", "unparsed", "media_error", "oom", "error", "judge_error"]
# without a text of the model; they score 0
FAILED: tuple[Status, ...] = ("media_error", "oom", "error")
# answered, but not judged: in no mean, since 0 would blame the model for its judge
UNJUDGED: Status = "judge_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One line of the ledger. Only "ok" and "unparsed" have a text of the model; the others say why in `detail`.

    Tokens are counted in the sequence that the LLM read; seconds are wall time, a batch's time shared equally by the
    `batch` samples that were answered together. encode, prefill and decode seconds are parts of `seconds` (see
    evals.stopwatch); peak_mib is the batch's, None where it was not measured.
    """

    id: str
    text: str
    status: Status
    answer: str | None = None
    rule: str = ""
    detail: str = ""
    visual_tokens: int = 0
    text_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    encode_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    batch: int = 1
    peak_mib: float | None = None
    tiles: int = 0
    grid: str = ""
    frames: int = 0
    reader: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> Prediction:
        """Return the prediction of one decoded ledger line; a missing or an unknown key is a ValueError."""
        if data.keys() != set(_NAMES):
            raise ValueError(f"prediction with keys {sorted(data)}, expected {sorted(_NAMES)}")
        return cls(**data)  # type: ignore[arg-type]

    def record(self) -> dict[str, object]:
        """Return what `parse` reads: its fields by name, in order. All are flat: nothing is copied."""
        return dict(zip(_NAMES, _VALUES(self), strict=True))


_NAMES = tuple(item.name for item in fields(Prediction))
_VALUES = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One sample's score in [0, the task's top] beside what a paired test needs: the id and the cluster.

    verdict: the judge's, None without one. A sample whose judge failed has the status "judge_error" and the score 0,
    and is in no mean: leave it out wherever `judged` is False.
    """

    id: str
    kind: str
    cluster: str
    gold: str
    score: float
    prediction: Prediction
    verdict: Verdict | None = None

    @property
    def judged(self) -> bool:
        """Tell whether the score counts: all but the samples whose judge failed."""
        return self.prediction.status != UNJUDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a result, its scores in [0, the result's top]. nan where no sample of the row has a score.

    n: all samples. accuracy: the mean score over all but the judge's errors; failures and unparsed answers score 0.
    low, high: its 95 % interval. se: standard error clustered by image or clip, None with one cluster.
    guess: accuracy if each unparsed answer were a uniform guess.
    answered: accuracy over the samples that the model answered, None where it answered none.
    majority: accuracy of always giving the commonest answer of the kind, nan where a judge gives the scores.
    blind: accuracy with another sample's media, None when not measured.
    tokens: mean visual tokens of the samples that reached the model, None when none did.
    """

    task: str
    n: int
    accuracy: float
    low: float
    high: float
    se: float | None
    guess: float
    majority: float
    blind: float | None
    unparsed: int
    failed: int
    tokens: float | None
    answered: float | None = None
    judge_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureRow:
    """A further figure of the run with its 95 % interval (BCa, clusters drawn anew); nan where it is not defined."""

    name: str
    value: float
    low: float
    high: float
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A scored run. Holds no times and no machine facts: the same predictions always give the same bytes.

    top: the best score of one sample. invalid: why no figure of this run may be reported, "" for a valid one.
    """

    task: str
    version: str
    rows: tuple[Row, ...]
    samples: tuple[Scored, ...]
    notes: tuple[str, ...] = ()
    figures: tuple[FigureRow, ...] = ()
    top: float = 1.0
    invalid: str = ""

    def row(self, name: str) -> Row:
        """Return the row called `name`; an unknown name is a ValueError that lists the known ones."""
        for row in self.rows:
            if row.task == name:
                return row
        raise ValueError(f"{self.task}: no row {name!r}, there are {[row.task for row in self.rows]}")

    def figure(self, name: str) -> FigureRow:
        """Return the figure called `name`; an unknown name is a ValueError that lists the known ones."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise ValueError(f"{self.task}: no figure {name!r}, there are {[figure.name for figure in self.figures]}")

    def summary(self) -> dict[str, object]:
        """Return what result.json holds: everything but the samples; what is not defined is None."""
        return {
            "task": self.task,
            "version": self.version,
            "top": self.top,
            "invalid": self.invalid,
            "rows": [_defined(asdict(row)) for row in self.rows],
            "figures": [_defined(asdict(figure)) for figure in self.figures],
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """Return the rows and the figures as Markdown tables, the notes under them."""
        score = "accuracy" if self.top == 1 else f"score of {self.top:g}"
        head = ["task", "n", score, "95 %", "guess", "majority", "blind", "unparsed", "failed", "tokens"]
        judged = any(row.judge_errors for row in self.rows)
        head += ["judge errors"] * judged
        lines = [f"# {self.task} ({self.version})", ""]
        lines += [f"**Not valid: {self.invalid}**", ""] * bool(self.invalid)
        lines += [_line(head), "| --- |" + " ---: |" * (len(head) - 1)]
        lines += [_line(_cells(row) + [str(row.judge_errors)] * judged) for row in self.rows]
        if self.figures:
            lines += ["", _line(["figure", "value", "95 %", "unit"]), "| --- | ---: | ---: | --- |"]
            lines += [
                _line([item.name, _number(item.value), _interval(item.low, item.high), item.unit])
                for item in self.figures
            ]
        lines += [""] * bool(self.notes) + [f"- {note}" for note in self.notes]
        return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    return [
        row.task,
        str(row.n),
        _number(row.accuracy),
        _interval(row.low, row.high),
        _number(row.guess),
        _number(row.majority),
        _number(row.blind),
        str(row.unparsed),
        str(row.failed),
        _number(row.tokens, 1),
    ]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"[{_number(low)}, {_number(high)}]"


def _number(value: float | None, digits: int | None = None) -> str:
    """Return a number with three digits behind the point, one for those in the hundreds; "-" for none."""
    if value is None or math.isnan(value):
        return "-"
    if digits is None:
        digits = 3 if abs(value) < 100 else 1
    return f"{value:.{digits}f}"


def _defined(data: dict[str, object]) -> dict[str, object]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in data.items()}
