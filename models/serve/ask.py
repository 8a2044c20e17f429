"""Ask a model about media that stay the same over several questions."""

import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from anyres.grid import GridSpec
from anyres.plan import VisualPlan
from models.example import PLACEHOLDER, Example, Turn
from models.generation import Stopped
from models.lmm import LMM
from models.looks import fewer_frames, shapes_of
from models.prepared import Prepared
from models.processor import Processor
from models.prompt.template import place_media
from models.prompt.times import Times
from models.room import ANSWER_SHARE, QUESTION_SHARE, text_share
from models.serve.memory import Memory
from models.serve.stream import TextStreamer
from models.shapes import MediumLook, plan_shape, settle
from video.budget import rope_factor
from video.clip import VideoSpec

if TYPE_CHECKING:
    from models.example import Medium

UNKNOWN = "<unk>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How media are looked at. grid, video, times: None for the model's own.

    times: tell when the frames of clips are. budget: the most tokens of a prompt; images share what the rest leaves.
    media: how each medium is looked at where they differ, or nothing.
    """

    grid: GridSpec | None = None
    video: VideoSpec | None = None
    times: Times | None = None
    budget: int | None = None
    media: tuple[MediumLook, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and what it cost. visual, prompt: visual and text tokens of the prompt; answered: tokens written.

    reused: tokens of the prompt that the language model had read for an earlier question. limit: the most tokens that
    could be written; cut: it ended the answer.
    """

    question: str
    text: str
    visual: int
    prompt: int
    answered: int
    limit: int
    seconds: float
    reused: int = 0
    unknown_words: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Tell whether the answer was cut off."""
        return self.answered == self.limit


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """A conversation about media. history: earlier questions and answers stay in the prompt.

    Tiles are encoded once, and of a prompt only what no earlier prompt began with is read. stop: strings that end an
    answer, beside the model's own marker. seed: of the draws, with a temperature. watch: called after each new token;
    what it raises ends the answer, and the session stays as it was.
    """

    model: LMM
    processor: Processor
    media: tuple["Medium", ...]
    look: Look = Look()
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    history: bool = True
    watch: Callable[[], None] | None = None
    turns: list[Turn] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator(self.model.device).manual_seed(self.seed)

    @property
    def plans(self) -> tuple[VisualPlan, ...]:
        """Return the plan of every medium: that of the last question, or what it is without one."""
        asked = self.memory.prepared
        return plans(self.processor, self.media, self.look) if asked is None else asked.plans

    @property
    def video(self) -> VideoSpec:
        """Return the settings that clips are read with."""
        return self.look.video or self.processor.spec.video

    def ask(
        self,
        question: str,
        emit: Callable[[str], None] | None = None,
        media: Sequence["Medium"] = (),
        looks: Sequence[MediumLook] = (),
    ) -> Answer:
        """Return the model's answer; `emit` gets its text piece by piece while it is written.

        media: shown with this question, in addition to those before; they stay. looks: how each of them is looked at,
        where they differ. Raises ValueError when the prompt is
        longer than the context or the budget: nothing is cut off, and the session stays as it was.
        """
        started = time.perf_counter()
        shown = (*self.media, *media)
        look = with_looks(self.look, len(self.media), looks or (MediumLook(),) * len(media))
        text = with_media(question, len(media) if self.turns else len(shown))
        turns = (*self.turns, Turn(role="user", text=text))
        prepared = self._prepare(Example(id="question", media=shown, turns=turns), look)
        length = len(prepared.prompt)
        limit = min(self.max_new_tokens, self.processor.spec.context - length)
        if limit < 1:
            raise ValueError(f"the prompt fills the context: {length} of {self.processor.spec.context} positions")
        batch = self.processor.collate([prepared]).to(self.model.device)
        known = self.memory.recall(self.model, prepared, batch)
        ids_L = self.model.generate(
            batch,
            limit,
            stop_ids=self.processor.stop_ids,
            stopped=self._stopped(),
            temperature=self.temperature,
            top_p=self.top_p,
            generator=self.generator,
            streamer=self._streamer(emit),
            features_NPE=known.features_NPE,
            prefix=known.prefix,
            cache=known.cache,
        )[0]
        self.memory = known.after(prepared, batch, ids_L)
        self.media, self.look = shown, look
        answer = self.processor.decode(ids_L, self.stop)
        if self.history:
            self.turns = [*turns, Turn(role="assistant", text=answer)]
        return Answer(
            question=question,
            text=answer,
            visual=prepared.num_visual,
            prompt=length - prepared.num_visual,
            answered=len(self.processor.written(ids_L, self.stop)),
            limit=limit,
            seconds=time.perf_counter() - started,
            reused=0 if known.prefix is None else known.prefix.length,
            unknown_words=unknown_words(self.processor, question),
        )

    def _prepare(self, example: Example, look: Look) -> Prepared:
        """Return the question prepared; media that were prepared before are not planned and rendered again."""
        before, budget = self.memory.prepared, look.budget
        if before is not None and len(before.plans) == len(example.media):
            again = self.processor.reprompt(before, example)
            if budget is None or len(again.prompt) <= budget:
                return again
        return self.processor.prepare(
            example, grid=look.grid, video=look.video, times=look.times, budget=budget, looks=look.media
        )

    def _stopped(self) -> Stopped | None:
        stopped, watch = self.processor.stopper(self.stop), self.watch
        if watch is None:
            return stopped

        def watched(ids: Sequence[int]) -> bool:
            watch()
            return stopped is not None and stopped(ids)

        return watched

    def _streamer(self, emit: Callable[[str], None] | None) -> TextStreamer | None:
        if emit is None:
            return None
        return TextStreamer(lambda ids: self.processor.decode(ids, self.stop), self.processor.stops(self.stop), emit)


def with_media(question: str, num_media: int) -> str:
    """Return a user turn: a placeholder line for each medium, then the question.

    A question that holds placeholders itself is taken as it is.
    """
    return question if PLACEHOLDER in question else place_media(question, num_media)


def plans(processor: Processor, media: Sequence["Medium"], look: Look) -> tuple[VisualPlan, ...]:
    """Return the plan of every medium; no weights are needed."""
    shapes = shapes_of(media)
    settled = settle(shapes, processor.spec, look.grid, look.video, look.media)
    return tuple(plan_shape(shape, processor.spec, one) for shape, one in zip(shapes, settled, strict=True))


def with_looks(look: Look, known: int, more: Sequence[MediumLook]) -> Look:
    """Return a look at `known` media and further ones, each with its own."""
    if not look.media and all(one == MediumLook() for one in more):
        return look
    return replace(look, media=(*(look.media or (MediumLook(),) * known), *more))


def needed_factor(
    processor: Processor, media: Sequence["Medium"], look: Look, question: str | None, max_new_tokens: int
) -> float:
    """Return the linear RoPE factor that the prompt and its answer need; never below the checkpoint's own.

    It is known before the language model is built. Room for an answer is a share of the trained context (or less, where
    max_new_tokens is less), and so is room for questions that are not known yet.
    """
    spec = processor.spec
    visual = sum(plan.num_tokens for plan in plans(processor, media, look))
    text = spec.llm.context // QUESTION_SHARE
    if question is not None:
        text = _text_tokens(processor, media, look, question)
    need = visual + text if look.budget is None else min(visual + text, look.budget)
    answer = min(max_new_tokens, spec.llm.context // ANSWER_SHARE)
    return max(spec.rope_factor, rope_factor(need + answer, spec.llm.context))


def lowered(
    processor: Processor, media: Sequence["Medium"], look: Look, question: str | None, max_new_tokens: int
) -> tuple["Medium", ...]:
    """Return the media, clips with fewer frames where the prompt exceeds its budget, or the context without one.

    Room for the question and the answer is kept as in `needed_factor`.
    """
    spec = processor.spec
    text = text_share(spec, max_new_tokens)
    if question is not None:
        text = _text_tokens(processor, media, look, question)
        text += 0 if look.budget is not None else min(max_new_tokens, spec.llm.context // ANSWER_SHARE)
    settled = settle(shapes_of(media), spec, look.grid, look.video, look.media)
    return fewer_frames(media, spec, settled, text, look.budget or spec.context)


def _text_tokens(processor: Processor, media: Sequence["Medium"], look: Look, question: str) -> int:
    turn = Turn(role="user", text=with_media(question, len(media)))
    example = Example(id="question", media=tuple(media), turns=(turn,))
    return processor.text_tokens(example, look.times, grid=look.grid, video=look.video, looks=look.media)


def unknown_words(processor: Processor, question: str) -> tuple[str, ...]:
    """Return the words of a question that the model's vocabulary does not hold; none for subword tokenizers."""
    unknown = processor.tokenizer.token_to_id(UNKNOWN)
    words = [word.strip(string.punctuation) for word in question.replace(PLACEHOLDER, " ").split()]
    return tuple(dict.fromkeys(word for word in words if unknown in processor.encode(word)))
