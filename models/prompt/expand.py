"""Turn a rendered prompt into token ids, with each "<image>" replaced by as many positions as its medium has tokens."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from models.example import PLACEHOLDER
from models.prompt.positions import IGNORED, PromptPlan, Run
from models.prompt.template import Rendered, Span

Encode = Callable[[str], list[int]]
Tokenization = Literal["official", "transformers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """The ids of a text without media, and which of them are trained."""

    ids: list[int]
    trained: list[bool]


def expand(
    rendered: Rendered,
    num_tokens: Sequence[int],
    *,
    encode: Encode,
    image_id: int,
    bos_id: int | None,
    tokenization: Tokenization = "official",
    context: int | None = None,
    learned: Collection[int] = (),
) -> PromptPlan:
    """Return the ids, labels and visual indices of a prompt whose i-th medium has num_tokens[i] packed tokens.

    encode: text to ids, special tokens in the text recognised, none added. image_id: the id at visual positions.
    bos_id: put in front once, unless the text already begins with it; None for tokenizers without one.
    tokenization: "official" tokenises the pieces of text between placeholders separately; "transformers" tokenises the
    whole string with "<image>" as the special token `image_id`. The two differ where a tokenizer treats the start of a
    text specially. context: the most positions the model reads. learned: ids that are learned wherever they stand.

    Raises ValueError when placeholders and media differ in number, or when the prompt is longer than the context.
    """
    placeholders = rendered.text.count(PLACEHOLDER)
    if placeholders != len(num_tokens):
        raise ValueError(
            f"prompt has {placeholders} {PLACEHOLDER} placeholder(s) for {len(num_tokens)} image(s) or clip(s)"
        )
    if tokenization == "official":
        pieces = _by_piece(rendered, encode)
    else:
        pieces = _as_a_whole(rendered, encode, image_id, placeholders)
    first = pieces[0]
    if bos_id is not None and first.ids[:1] != [bos_id]:
        pieces[0] = _Piece(ids=[bos_id, *first.ids], trained=[False, *first.trained])
    length = sum(len(piece.ids) for piece in pieces) + sum(num_tokens)
    if context is not None and length > context:
        raise ValueError(
            f"prompt needs {length} positions ({sum(num_tokens)} visual, {length - sum(num_tokens)} text), "
            f"but the model reads at most {context}"
        )
    return _join(pieces, num_tokens, image_id, frozenset(learned))


def _by_piece(rendered: Rendered, encode: Encode) -> list[_Piece]:
    pieces, start = [], 0
    for text in rendered.text.split(PLACEHOLDER):
        inside = [_clip(span, start, start + len(text)) for span in rendered.trained]
        pieces.append(_tokens(text, [span for span in inside if span.start < span.stop], encode))
        start += len(text) + len(PLACEHOLDER)
    return pieces


def _as_a_whole(rendered: Rendered, encode: Encode, image_id: int, placeholders: int) -> list[_Piece]:
    whole = _tokens(rendered.text, rendered.trained, encode)
    stops = [place for place, id in enumerate(whole.ids) if id == image_id]
    if len(stops) != placeholders:
        raise ValueError(
            f"the tokenizer gives the image id {image_id} {len(stops)} time(s) for {placeholders} placeholder(s): "
            f"{PLACEHOLDER} must be its special token {image_id}"
        )
    starts = [0, *(stop + 1 for stop in stops)]
    return [
        _Piece(ids=whole.ids[start:stop], trained=whole.trained[start:stop])
        for start, stop in zip(starts, [*stops, len(whole.ids)], strict=True)
    ]


def _tokens(text: str, trained: Sequence[Span], encode: Encode) -> _Piece:
    """Return the ids of a text, each marked when it holds characters of a trained span.

    A span begins with the first token that tokenising the text before it does not give, so a token that straddles the
    beginning is trained; one that straddles the end is not.
    """
    if not text:
        return _Piece(ids=[], trained=[])
    ids = encode(text)
    marks = [False] * len(ids)
    for span in trained:
        begin = _shared(ids, encode(text[: span.start])) if span.start else 0
        end = len(ids) if span.stop == len(text) else _shared(ids, encode(text[: span.stop]))
        marks[begin:end] = [True] * (end - begin)
    return _Piece(ids=ids, trained=marks)


def _shared(ids: Sequence[int], others: Sequence[int]) -> int:
    """Return the length of the common beginning of two id lists."""
    length = 0
    while length < min(len(ids), len(others)) and ids[length] == others[length]:
        length += 1
    return length


def _clip(span: Span, start: int, stop: int) -> Span:
    return Span(max(span.start, start) - start, min(span.stop, stop) - start)


def _join(pieces: Sequence[_Piece], num_tokens: Sequence[int], image_id: int, learned: frozenset[int]) -> PromptPlan:
    runs: list[Run] = []
    placed = 0
    for index, piece in enumerate(pieces):
        if piece.ids:
            runs.append(Run(ids=tuple(piece.ids), labels=_labels(piece, learned), count=len(piece.ids)))
        if index < len(num_tokens) and num_tokens[index]:
            runs.append(Run(ids=(image_id,), first=placed, count=num_tokens[index]))
            placed += num_tokens[index]
    return PromptPlan(runs=tuple(runs))


def _labels(piece: _Piece, learned: frozenset[int]) -> tuple[int, ...]:
    if not learned and not any(piece.trained):
        return (IGNORED,) * len(piece.ids)
    return tuple(id if mark or id in learned else IGNORED for id, mark in zip(piece.ids, piece.trained, strict=True))
