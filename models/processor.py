"""From a conversation with media to what a batch is joined from: plan each medium, expand the prompt, render pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from PIL.Image import Image
from tokenizers import Tokenizer
from torch import Tensor

from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.picture import Picture, PixelMode, Resample, check_mode, check_resample, needed_size
from anyres.pixels import Colour, Frame, mean_colour, open_image, render_uint8
from anyres.plan import VisualPlan
from models.batch import Batch
from models.collate import FILLER_ID, collate
from models.encoded import EncodedClip, known_tokens
from models.example import PLACEHOLDER, Example
from models.generation import Stopped
from models.looks import shape_of, shapes_of
from models.prepared import Prepared
from models.prompt.expand import expand
from models.prompt.labels import Labels, learn, learned_ids, mask
from models.prompt.positions import PromptPlan
from models.prompt.slots import spread
from models.prompt.templates import template
from models.prompt.times import Times, announce
from models.shapes import MediumLook, Settled, Shape, plan_shape, plans_within, remedies, settle
from models.spec import ModelSpec
from models.stop import StopStrings, earliest
from video.budget import check_context
from video.clip import VideoClip, VideoSpec
from video.plan import slots

if TYPE_CHECKING:
    from models.example import Medium

# a plan's tiles, uint8 [N, C, H, W], from its frames and the colour around one that is padded to a square
Draw = Callable[[VisualPlan, Sequence[Frame], Colour], Tensor]


class Processor:
    """Turns examples into what a model of `spec` reads, and its ids into text. Holds no weights.

    pixels, resample: how exactly, and by which weights, pixels are prepared; see anyres.picture. draw: what renders a
    plan's tiles, or None for anyres.pixels.render_uint8 in that mode; something else has to give the same.
    labels: what is learned of a conversation: its "answers" and their ends, or what the "released" training code
    learns ("released_old": its preference training); models.prompt.labels.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tokenizer: Tokenizer,
        labels: Labels = "answers",
        draw: Draw | None = None,
        pixels: PixelMode = "exact",
        resample: Resample = "bicubic",
    ) -> None:
        check_mode(pixels)
        check_resample(resample, pixels)
        self.spec, self.tokenizer, self.template = spec, tokenizer, template(spec.template)
        self.pixels, self.resample = pixels, resample
        self._draw = draw or partial(render_uint8, pixels=pixels, resample=resample)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.bos_id = _bos_id(tokenizer)
        self.image_id = tokenizer.token_to_id(PLACEHOLDER)
        if spec.tokenization == "transformers" and self.image_id is None:
            raise ValueError(f"tokenizer: tokenization 'transformers' needs the special token {PLACEHOLDER}")
        stop = self.encode(self.template.stop) if self.template.stop else self.encode(self.template.answer_close)
        # a marker of several tokens is no stop id: `stopper` looks for its text
        self.stop_ids = tuple(stop) if len(stop) == 1 else ()
        self.mask = mask(labels, spec.template)
        self.learned = learned_ids(self.mask, self.encode)
        for text in filter(None, spec.around):
            if len(self.encode(text)) != 1:
                raise ValueError(
                    f"tokenizer: expected {text!r} round a medium to be one token, got {self.encode(text)}"
                )

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; special tokens in it are recognised, none is added."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int] | Tensor, stop: Sequence[str] = ()) -> str:
        """Return the text of an answer's ids, up to the first stop id or stop string, without special tokens.

        stop: strings that end an answer, beside the template's own marker.
        """
        text = self.tokenizer.decode(self.written(ids, stop), skip_special_tokens=True)
        return text[: earliest(text, self.stops(stop))].strip()

    def written(self, ids: Sequence[int] | Tensor, stop: Sequence[str] = ()) -> list[int]:
        """Return an answer's ids up to its first stop id, or up to the id that completes a stop string."""
        stopped, kept = self.stopper(stop), []
        for token in ids.tolist() if isinstance(ids, Tensor) else ids:
            if token in self.stop_ids:
                break
            kept.append(token)
            if stopped is not None and stopped(kept):
                break
        return kept

    def stops(self, stop: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the strings that end an answer; ValueError for an empty one."""
        if "" in stop:
            raise ValueError("stop: expected strings of at least one character, got an empty one")
        return tuple(filter(None, (self.template.stop, *stop)))

    def stopper(self, stop: Sequence[str] = ()) -> Stopped | None:
        """Return what tells whether an answer's ids reached a stop string, for LMM.generate; None where ids suffice."""
        one_token = len(self.stop_ids) == 1 and not stop
        return None if one_token or not self.stops(stop) else StopStrings(self.tokenizer, self.stops(stop))

    def plan(
        self, medium: Medium, *, grid: GridSpec | None = None, video: VideoSpec | None = None, alone: bool = True
    ) -> VisualPlan:
        """Return the plan of an upright image or of a clip's frames, by the given settings or the model's own.

        alone: whether it is the only image of its prompt (clips aside); the model's own settings may depend on it.
        """
        shape = shape_of(medium)
        (look,) = settle([shape], self.spec, grid, video)
        if isinstance(medium, Image | Picture) and not alone:
            look = replace(look, grid=grid or self.spec.grid_among(2))
        return plan_shape(shape, self.spec, look)

    @property
    def early(self) -> bool:
        """Tell whether a frame that was resized to its tile as it was decoded (video.early) gives the same pixels."""
        return self.pixels == "exact" and self.resample == "bicubic"

    def needed(self, image: HW, grid: GridSpec | None = None) -> HW:
        """Return the pixels (h, w) that suffice for an image of `image` pixels, however it is drafted."""
        shape = Shape(size=image)
        (look,) = settle([shape], self.spec, grid)
        return needed_size(plan_shape(shape, self.spec, look))

    def prepare(
        self,
        example: Example,
        *,
        grid: GridSpec | None = None,
        video: VideoSpec | None = None,
        times: Times | None = None,
        budget: int | None = None,
        looks: Sequence[MediumLook] = (),
    ) -> Prepared:
        """Return an example planned, tokenised and rendered; grid, video and times replace the model's own settings.

        looks: how each medium is looked at where that differs from the others. budget: the most positions of the whole
        prompt: images share what text and clips leave, clips are not shrunk.
        A conversation that ends with a user turn gets a generation prompt. Raises ValueError naming the example when
        placeholders and media differ in number, or the prompt is longer than the context or cannot meet the budget.
        """
        media = [open_image(medium) if isinstance(medium, Image) else medium for medium in example.media]
        times = self.spec.times if times is None else times
        try:
            shapes = shapes_of(media)
            settled = settle(shapes, self.spec, grid, video, looks)
            if budget is None:
                plans = tuple(plan_shape(shape, self.spec, look) for shape, look in zip(shapes, settled, strict=True))
            else:
                text = self._text_tokens(example, times, settled)
                plans = plans_within(shapes, self.spec, settled, text, budget)
            prompt = self._prompt(example, plans, times, settled)
        except ValueError as error:
            raise ValueError(f"example {example.id}: {error}") from error
        return Prepared(
            plans=plans,
            looks=settled,
            prompt=prompt,
            pixels_NCHW=self._render(plans, media),
            pack_first=any(_pooled_first(*one) for one in zip(media, settled, strict=True)),
            known=known_tokens(media, plans),
            exact=all(
                isinstance(medium, EncodedClip) or _pooled_first(medium, look) or not _resamples(plan)
                for plan, medium, look in zip(plans, media, settled, strict=True)
            ),
            times=times,
        )

    def text_tokens(
        self,
        example: Example,
        times: Times | None = None,
        *,
        grid: GridSpec | None = None,
        video: VideoSpec | None = None,
        looks: Sequence[MediumLook] = (),
    ) -> int:
        """Return the length of a prompt without its visual tokens, however long; looked at as `prepare` does."""
        settled = settle(shapes_of(example.media), self.spec, grid, video, looks)
        return self._text_tokens(example, self.spec.times if times is None else times, settled)

    def reprompt(self, prepared: Prepared, example: Example) -> Prepared:
        """Return another conversation about the media of `prepared`, which are not planned or rendered again.

        A batch of such examples encodes and packs the media once. Raises ValueError as `prepare` does.
        """
        try:
            prompt = self._prompt(example, prepared.plans, prepared.times, prepared.looks)
            return replace(prepared, prompt=prompt)
        except ValueError as error:
            raise ValueError(f"example {example.id}: {error}") from error

    def collate(self, prepared: Sequence[Prepared]) -> Batch:
        """Return a batch of examples, padded on the right; see models.collate."""
        return collate(prepared)

    def batch(
        self, examples: Sequence[Example], *, grid: GridSpec | None = None, video: VideoSpec | None = None
    ) -> Batch:
        """Return examples prepared and collated."""
        return self.collate([self.prepare(example, grid=grid, video=video) for example in examples])

    def _prompt(
        self, example: Example, plans: Sequence[VisualPlan], times: Times, looks: Sequence[Settled]
    ) -> PromptPlan:
        """Return the prompt; ValueError where it is longer than the context, naming both and what would help."""
        counts = [slots(plan, look.video) for plan, look in zip(plans, looks, strict=True)]
        prompt = self._expand(example, counts, times, [look.video for look in looks])
        visual = sum(plan.num_tokens for plan in plans)
        text, spec = len(prompt) - visual, self.spec
        if visual + text > spec.context:
            help_ = remedies(shapes_of(example.media), spec, looks, text)
            check_context(visual, text, spec.llm.context, spec.rope_factor, help_)
        return prompt

    def _text_tokens(self, example: Example, times: Times, looks: Sequence[Settled]) -> int:
        counts = [(0,) * _placeholders(*one) for one in zip(example.media, looks, strict=True)]
        return len(self._expand(example, counts, times, [look.video for look in looks]).ids)

    def _expand(
        self, example: Example, counts: Sequence[Sequence[int]], times: Times, videos: Sequence[VideoSpec]
    ) -> PromptPlan:
        if not example.turns:
            raise ValueError("expected at least one turn, got none")
        turns = announce(example.turns, example.media, times, videos) if times else example.turns
        turns = spread(turns, [len(tokens) for tokens in counts])
        medium = PLACEHOLDER.join(self.spec.around)
        turns = [replace(turn, text=turn.text.replace(PLACEHOLDER, medium)) for turn in turns]
        rendered = self.template.render(turns, turns[-1].role == "user", example.opening)
        return expand(
            learn(rendered, self.template, self.mask),
            [count for tokens in counts for count in tokens],
            encode=self.encode,
            image_id=FILLER_ID if self.image_id is None else self.image_id,
            bos_id=self.bos_id,
            tokenization=self.spec.tokenization,
            learned=self.learned,
        )

    def _render(self, plans: Sequence[VisualPlan], media: Sequence[Medium]) -> Tensor:
        side, fill = self.spec.encoder.tile_px, mean_colour(self.spec.encoder.mean)
        tiles = [
            self._draw(plan, _frames(medium), fill)
            for plan, medium in zip(plans, media, strict=True)
            if not isinstance(medium, EncodedClip)
        ]
        # text alone has no tiles
        return tiles[0] if len(tiles) == 1 else torch.cat([*tiles, torch.zeros(0, 3, side, side, dtype=torch.uint8)])


def _frames(medium: Medium) -> Sequence[Frame]:
    if isinstance(medium, Picture):
        return [medium.pixels]
    return [medium] if isinstance(medium, Image) else list(medium.frames_FHWC)


def _placeholders(medium: Medium, look: Settled) -> int:
    return 1 if isinstance(medium, Image | Picture) or look.video.frames_as != "images" else len(medium.frames_FHWC)


def _pooled_first(medium: Medium, look: Settled) -> bool:
    # an encoded clip was pooled then
    plain = isinstance(medium, VideoClip) and not isinstance(medium, EncodedClip)
    return plain and look.video.pool_before_projector


def _resamples(plan: VisualPlan) -> bool:
    return any(segment.out != segment.crop_tok.size for segment in plan.segments)


def _bos_id(tokenizer: Tokenizer) -> int | None:
    """Return the id that the tokenizer puts in front of a text, if any."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    front = full[: _find(full, bare)]
    if len(front) > 1:
        raise ValueError(f"tokenizer: expected at most one token in front of a text, got ids {front}")
    return front[0] if front else None


def _find(full: Sequence[int], part: Sequence[int]) -> int:
    return next(start for start in range(len(full)) if list(full[start : start + len(part)]) == list(part))
