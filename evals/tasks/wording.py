"""The words round a question about a clip, where a benchmark has its own; the shared forms are in evals.prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.prompts import ENDINGS
from evals.sample import LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Text before the question, between it and its options, one line for each option, text after all, and what the
    assistant's turn already begins with."""

    before: str = ""
    between: str = "\n"
    line: str = "{label}. {option}"
    after: str = ""
    opening: str = ""

    def ask(self, question: str, options: tuple[str, ...] = ()) -> str:
        """Return the user's turn."""
        lines = [self.line.format(label=label, option=option) for label, option in zip(LABELS, options, strict=False)]
        listed = self.between + "\n".join(lines) if lines else ""
        return f"{self.before}{question}{listed}{self.after}"


def wording(form: str, own: Mapping[str, Wording]) -> Wording:
    """Return the wording called `form`: a benchmark's own or a shared one; a ValueError that lists both."""
    if form in own:
        return own[form]
    if form not in ENDINGS:
        raise ValueError(f"task.prompt_form: got {form!r}, expected one of {sorted([*own, *ENDINGS])}")
    return Wording(after=ENDINGS[form])
