"""What a run gives: one Prediction a sample, and a Result with one Row a question kind, group and mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

Status = Literal["ok", "unparsed", "media_error", "oom", "error"]
FAILED: tuple[Status, ...] = ("media_error", "oom", "error")


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
        known = {item.name for item in fields(cls)}
        if set(data) != known:
            raise ValueError(f"prediction with keys {sorted(data)}, expected {sorted(known)}")
        return cls(**data)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One sample's score beside what a paired test needs: the id and the cluster."""

    id: str
    kind: str
    cluster: str
    gold: str
    score: float
    prediction: Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a result. The denominator `n` is every sample; failures and unparsed answers score 0 in it.

    low, high: 95 % Wilson interval. se: standard error clustered by image or clip, None with one cluster.
    guess: accuracy if each unparsed answer were a uniform guess.
    majority: accuracy of always giving the commonest answer of the kind.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A scored run. Holds no times and no machine facts: the same predictions always give the same bytes."""

    task: str
    version: str
    rows: tuple[Row, ...]
    samples: tuple[Scored, ...]
    notes: tuple[str, ...] = ()

    def row(self, name: str) -> Row:
        """Return the row called `name`; an unknown name is a ValueError that lists the known ones."""
        for row in self.rows:
            if row.task == name:
                return row
        raise ValueError(f"{self.task}: no row {name!r}, there are {[row.task for row in self.rows]}")

    def summary(self) -> dict[str, object]:
        """Return what result.json holds: everything but the samples."""
        return {
            "task": self.task,
            "version": self.version,
            "rows": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """Return the rows as a Markdown table, the notes under it."""
        head = "| task | n | accuracy | 95 % | majority | blind | unparsed | failed | tokens |"
        lines = [f"# {self.task} ({self.version})", "", head, "| --- |" + " ---: |" * 8]
        lines += [_markdown_row(row) for row in self.rows]
        lines += [""] * bool(self.notes) + [f"- {note}" for note in self.notes]
        return "\n".join(lines) + "\n"


def _markdown_row(row: Row) -> str:
    blind = "-" if row.blind is None else f"{row.blind:.3f}"
    tokens = "-" if row.tokens is None else f"{row.tokens:.1f}"
    return (
        f"| {row.task} | {row.n} | {row.accuracy:.3f} | [{row.low:.3f}, {row.high:.3f}] | {row.majority:.3f} | {blind} "
        f"| {row.unparsed} | {row.failed} | {tokens} |"
    )
