"""Ask a model about media that stay the same over several questions."""

import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from anyres.grid import GridSpec
from anyres.plan import VisualPlan
from models.example import PLACEHOLDER, Example, Turn
from models.lmm import LMM
from models.processor import Processor
from models.serve.stream import TextStreamer
from video.budget import rope_factor
from video.clip import VideoClip, VideoSpec
from video.sampling import time_instruction

if TYPE_CHECKING:
    from models.example import Medium

UNKNOWN = "<unk>"
# shares of the trained context kept for questions that are not known yet, and for an answer
QUESTION_SHARE, ANSWER_SHARE = 8, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How media are looked at. grid, video: None for the model's own. times: tell when the frames of clips are."""

    grid: GridSpec | None = None
    video: VideoSpec | None = None
    times: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and what it cost. visual, prompt: visual and text tokens read; answered: tokens written.

    limit: the most tokens that could be written; cut: it ended the answer.
    """

    question: str
    text: str
    visual: int
    prompt: int
    answered: int
    limit: int
    seconds: float
    unknown_words: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Tell whether the answer was cut off."""
        return self.answered == self.limit


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """A conversation about media. history: earlier questions and answers stay in the prompt."""

    model: LMM
    processor: Processor
    media: tuple["Medium", ...]
    look: Look = Look()
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    history: bool = True
    turns: list[Turn] = field(default_factory=list)
    features_NPE: Tensor | None = None

    @property
    def plans(self) -> tuple[VisualPlan, ...]:
        """Return the plan of every medium."""
        return plans(self.processor, self.media, self.look)

    def ask(self, question: str, emit: Callable[[str], None] | None = None) -> Answer:
        """Return the model's answer; `emit` gets its text piece by piece while it is written.

        Raises ValueError when the prompt is longer than the context: nothing is cut off.
        """
        started = time.perf_counter()
        text = question if self.turns else with_media(question, self.media, self.look)
        turns = (*self.turns, Turn(role="user", text=text))
        example = Example(id="question", media=self.media, turns=turns)
        prepared = self.processor.prepare(example, grid=self.look.grid, video=self.look.video)
        batch = self.processor.collate([prepared]).to(self.model.device)
        if self.features_NPE is None:
            self.features_NPE = self._encode(batch.pixels_NCHW)
        streamer = TextStreamer(self.processor.decode, self.processor.template.stop, emit) if emit else None
        limit = min(self.max_new_tokens, self.processor.spec.context - len(prepared.prompt.ids))
        if limit < 1:
            raise ValueError(
                f"the prompt fills the context: {len(prepared.prompt.ids)} of {self.processor.spec.context} positions"
            )
        ids_L = self.model.generate(
            batch,
            limit,
            stop_ids=self.processor.stop_ids,
            temperature=self.temperature,
            top_p=self.top_p,
            streamer=streamer,
            features_NPE=self.features_NPE,
        )[0].tolist()
        answer = self.processor.decode(ids_L)
        if self.history:
            self.turns = [*turns, Turn(role="assistant", text=answer)]
        written = [token for token in ids_L if token not in self.processor.stop_ids]
        return Answer(
            question=question,
            text=answer,
            visual=prepared.num_visual,
            prompt=len(prepared.prompt.ids) - prepared.num_visual,
            answered=len(written),
            limit=limit,
            seconds=time.perf_counter() - started,
            unknown_words=unknown_words(self.processor, question),
        )

    def _encode(self, pixels_NCHW: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            return self.model.encode(pixels_NCHW)


def with_media(question: str, media: Sequence["Medium"], look: Look) -> str:
    """Return the first user turn: a placeholder line for each medium, then the question.

    A question that holds placeholders itself is taken as it is.
    """
    if PLACEHOLDER in question:
        return question
    lines = []
    for medium in media:
        lines.append(PLACEHOLDER)
        if look.times and isinstance(medium, VideoClip):
            lines.append(time_instruction(medium.meta.duration_s, medium.times_F.tolist()))
    return "\n".join([*lines, question])


def plans(processor: Processor, media: Sequence["Medium"], look: Look) -> tuple[VisualPlan, ...]:
    """Return the plan of every medium; no weights are needed."""
    alone = len(media) == 1
    return tuple(processor.plan(medium, grid=look.grid, video=look.video, alone=alone) for medium in media)


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
        turn = Turn(role="user", text=with_media(question, media, look))
        rendered = processor.template.render((turn,), add_generation_prompt=True).text
        # text between media is tokenised in pieces, and a first token may be added
        text = len(processor.encode(rendered)) + 1 + len(media)
    answer = min(max_new_tokens, spec.llm.context // ANSWER_SHARE)
    return max(spec.rope_factor, rope_factor(visual + text + answer, spec.llm.context))


def unknown_words(processor: Processor, question: str) -> tuple[str, ...]:
    """Return the words of a question that the model's vocabulary does not hold; none for subword tokenizers."""
    unknown = processor.tokenizer.token_to_id(UNKNOWN)
    words = [word.strip(string.punctuation) for word in question.replace(PLACEHOLDER, " ").split()]
    return tuple(dict.fromkeys(word for word in words if unknown in processor.encode(word)))
