"""Turn a conversation into one string, and know which of its characters a model learns. Strings only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.example import PLACEHOLDER, Turn


class Span(NamedTuple):
    """Characters start .. stop - 1 of a text."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A prompt as text, with the spans that are trained: each answer with the marker that ends it."""

    text: str
    trained: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The fixed strings around the turns of a conversation.

    head: before the first user text (system message included); again: before each later user text; user_close: after
    each user text. prompt: what makes the model answer; answer_open, answer_close: around the answer's text.
    media_only: a single pair whose user text is reduced to its placeholders (captions). trim: each text is stripped.
    """

    name: str
    head: str
    again: str
    user_close: str
    prompt: str
    answer_open: str
    answer_close: str
    media_only: bool = False
    trim: bool = False

    def render(self, turns: Sequence[Turn], add_generation_prompt: bool, opening: str = "") -> Rendered:
        """Return the text of `turns` and its trained spans; with a generation prompt, the model is about to answer.

        opening: words that the answer already begins with. Raises ValueError unless user and assistant alternate,
        beginning with the user; for a generation prompt after an answer; and, for a caption template, for a second pair
        or a user turn without a placeholder.
        """
        self._check(turns, add_generation_prompt)
        if opening and not add_generation_prompt:
            raise ValueError(f"{self.name}: {opening!r} opens an answer, but the last turn is one")
        text, trained = "", []
        for index, turn in enumerate(turns):
            body = turn.text.strip() if self.trim else turn.text
            if turn.role == "user":
                body = PLACEHOLDER * body.count(PLACEHOLDER) if self.media_only else body
                text += (self.head if index == 0 else self.again) + body + self.user_close
            else:
                text += self.prompt
                start = len(text)
                text += self.answer_open + body + self.answer_close
                trained.append(Span(start, len(text)))
        if add_generation_prompt:
            text += self.prompt + (self.answer_open + opening if opening else "")
        return Rendered(text=text, trained=tuple(trained))

    @property
    def stop(self) -> str:
        """Return the string that ends an answer, without surrounding white space ("" for caption templates)."""
        return self.answer_close.strip()

    def _check(self, turns: Sequence[Turn], add_generation_prompt: bool) -> None:
        roles = [turn.role for turn in turns]
        expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(roles))]
        if not roles or roles != expected:
            raise ValueError(
                f"{self.name}: expected turns user, assistant, user, ..., got {', '.join(roles) or 'none'}"
            )
        if add_generation_prompt and roles[-1] == "assistant":
            raise ValueError(f"{self.name}: a generation prompt follows a user turn, but the last turn is an answer")
        if not self.media_only:
            return
        if len(turns) > 2:
            raise ValueError(f"{self.name}: expected one pair of medium and caption, got {len(turns)} turns")
        if PLACEHOLDER not in turns[0].text:
            raise ValueError(f"{self.name}: expected {PLACEHOLDER} in the user turn, got {turns[0].text!r}")


def place_media(text: str, num_media: int) -> str:
    """Return `text` with a line "<image>" in front for each of `num_media` media, as the released demos do."""
    return f"{PLACEHOLDER}\n" * num_media + text
