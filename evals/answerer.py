"""The Answerer for a model of this project: decode, plan, encode each distinct tile once, generate greedily.

What several questions have in common, everything up to the last visual token, is read once by the language model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from anyres.plan import VisualPlan
from evals.fingerprint import digest_tensor, fingerprint
from evals.finite import Finite
from evals.media.looking import Looking
from evals.probe import ALONE, KEY, TOGETHER
from evals.protocol import Answer, OutOfMemory, Question, Ready
from evals.sample import Media
from evals.stopwatch import Stopwatch
from evals.store.feature_cache import CachedEncoder
from evals.store.ledger import Config
from models.example import PLACEHOLDER, Example, Turn
from models.joined import can_go_on, go_on
from models.lmm import LMM
from models.prefix import Prefix
from models.prepared import Prepared
from models.processor import Processor
from models.prompt.template import place_media
from models.tuned import compute_facts
from video.clip import VideoClip

if TYPE_CHECKING:
    from models.example import Medium


# what an allocator of main memory says
NO_MEMORY = ("not enough memory", "can't allocate memory")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """What the language model keeps of some media, and of whose."""

    pixels_NCHW: torch.Tensor
    plans: tuple[VisualPlan, ...]
    ids: tuple[int, ...]
    prefix: Prefix

    def is_of(self, prepared: Prepared, length: int) -> bool:
        same = self.pixels_NCHW is prepared.pixels_NCHW and self.plans is prepared.plans
        return same and self.ids == prepared.prompt.ids[:length]


class LmmAnswerer:
    """Answers with `model` about media that `looking` opens, by the grid and video settings that it has.

    looking: None for the model's own settings. share: read what questions on the same media have in common once.
    finite: stop with evals.protocol.NotFinite where the model's logits are NaN or infinite. weights: what
    `weight_facts` says of the model, where that is known. exact: answer each question alone and encode each tile alone,
    so that no answer depends on its batch; None: where the model computes in half precision.
    """

    def __init__(
        self,
        model: LMM,
        processor: Processor,
        looking: Looking | None = None,
        *,
        share: bool = True,
        finite: bool = True,
        weights: Config | None = None,
        exact: bool | None = None,
    ) -> None:
        self.model, self.processor = model, processor
        self.exact = rounds(model) if exact is None else exact
        self._alone: CachedEncoder | None = None
        self._digests = weights
        self.looking = looking or Looking(model, processor)
        self.share, self.finite = share and can_go_on(model), finite
        # the media asked about last, rendered: questions come grouped by their media
        self._last: tuple[tuple[object, ...], tuple[Medium, ...], Prepared] | None = None
        self._held: list[_Held] = []

    def facts(self) -> Config:
        """Return the model's spec and weights, the effective grid and video settings, device and dtype, flat."""
        spec = asdict(self.processor.spec)
        spec["grid"] = asdict(self.looking.grid or self.processor.spec.grid)
        # a grid in place of the model's own holds for every image
        spec["several"] = spec["several"] if self.looking.grid is None else "grid"
        spec["video"] = asdict(self.looking.video)
        return {
            **{f"model.{key}": value for key, value in flatten(spec).items()},
            **(weight_facts(self.model) if self._digests is None else self._digests),
            "device": self.model.device.type,
            "dtype": str(self.model.dtype),
            "pixels": self.processor.pixels,
            "resize": self.processor.resample,
            **flatten(compute_facts(self.model), "compute"),
            **self.looking.facts(),
            "decoding": "greedy",
            **({KEY: ALONE if self.exact else TOGETHER} if self.exact or rounds(self.model) else {}),
        }

    def alone(self) -> LmmAnswerer | None:
        """Return what answers the same questions alone; None where this one does, or where it makes no difference."""
        if self.exact or not rounds(self.model):
            return None
        return LmmAnswerer(
            self.model,
            self.processor,
            self.looking,
            share=self.share,
            finite=self.finite,
            weights=self._digests,
            exact=True,
        )

    def open(self, media: Media) -> Medium:
        """Return an upright image, or the frames that the video settings ask for, unread where they are many."""
        return self.looking.open(media)

    def prepare(self, question: Question) -> Ready:
        """Return the question planned and rendered; without placeholders its media come first, one a line."""
        text = question.prompt
        if PLACEHOLDER not in text:
            text = place_media(text, len(question.media))
        again = self._last is not None and self._last[0] is question.media
        given: tuple[Medium, ...] = question.media  # type: ignore[assignment]
        media = self._last[1] if again and self._last is not None else self.looking.encoded(given)
        turns = (Turn(role="user", text=text),)
        example = Example(id=question.id, media=media, turns=turns, opening=question.opening)
        if again and self._last is not None:
            prepared = self.processor.reprompt(self._last[2], example)
        else:
            prepared = self.processor.prepare(example, grid=self.looking.grid, video=self.looking.video)
            self._last = (question.media, media, prepared)
        clips = [medium for medium in media if isinstance(medium, VideoClip)]
        return Ready(
            payload=prepared,
            visual_tokens=prepared.num_visual,
            text_tokens=len(prepared.prompt) - prepared.num_visual,
            tiles=sum(plan.num_tiles for plan in prepared.plans),
            grid=" ".join(_layout(prepared, index) for index, m in enumerate(media) if not isinstance(m, VideoClip)),
            frames=sum(len(clip.frames_FHWC) for clip in clips),
            reader="; ".join(dict.fromkeys(clip.reader for clip in clips)),
            nbytes=prepared.pixels_NCHW.nbytes + sum(one.nbytes for one in prepared.known if one is not None),
            # alone, every question is read in the same two pieces, whoever else asks about its media
            shared=self.share and (question.shared or self.exact) and prepared.num_visual > 0,
        )

    def answer(self, ready: Sequence[Ready], max_new_tokens: int) -> list[Answer]:
        """Return one greedy answer each; its tokens count a stop string of several tokens, but not a stop id."""
        ids: dict[int, list[int]] = {}
        batches = [[one] for one in enumerate(ready)] if self.exact else [list(enumerate(ready))]
        try:
            with Stopwatch(self.model) as watch, Finite(self.model, self.finite), self._tile_by_tile():
                for batch in batches:
                    ids.update(self._new_ids(batch, max_new_tokens))
        except torch.OutOfMemoryError as error:
            self._held = []
            raise OutOfMemory(str(error)) from error
        except RuntimeError as error:
            if not any(words in str(error) for words in NO_MEMORY):
                raise
            self._held = []
            raise OutOfMemory(str(error)) from error
        return [
            Answer(
                text=self.processor.decode(ids[row]),
                tokens=len(self.processor.written(ids[row])),
                encode_seconds=watch.encode / len(ready),
                prefill_seconds=watch.prefill / len(ready),
                decode_seconds=watch.decode / len(ready),
                batch=1 if self.exact else len(ready),
                peak_mib=watch.peak_mib,
            )
            for row in range(len(ready))
        ]

    def _new_ids(self, batch: Sequence[tuple[int, Ready]], max_new_tokens: int) -> dict[int, list[int]]:
        """Return new ids by row: of the questions that are read whole, and of those that go on behind their media."""
        ids: dict[int, list[int]] = {}
        for shared, read in ((False, self._together), (True, self._behind)):
            rows = {row: one.payload for row, one in batch if one.shared == shared}
            if rows:
                ids.update(zip(rows, read(list(rows.values()), max_new_tokens), strict=True))  # type: ignore[arg-type]
        return ids

    @contextmanager
    def _tile_by_tile(self) -> Iterator[None]:
        """Let the model encode each tile alone inside the with block, where answers are exact."""
        encoder = self.model.encoder
        if not self.exact or (isinstance(encoder, CachedEncoder) and encoder.alone):
            yield
            return
        if self._alone is None:
            inner = encoder.encoder if isinstance(encoder, CachedEncoder) else encoder
            self._alone = CachedEncoder(inner, self.processor.spec.encoder, alone=True)
        self.model.encoder = self._alone
        try:
            yield
        finally:
            self.model.encoder = encoder

    def _together(self, prepared: Sequence[Prepared], max_new_tokens: int) -> list[list[int]]:
        """Return new ids of questions in one batch."""
        batch = self.processor.collate(prepared).to(self.model.device)
        stop_ids, stopped = self.processor.stop_ids, self.processor.stopper()
        return self.model.generate(batch, max_new_tokens, stop_ids=stop_ids, stopped=stopped).tolist()

    def _behind(self, prepared: Sequence[Prepared], max_new_tokens: int) -> list[list[int]]:
        """Return new ids of questions that go on behind their media, each of which is read once."""
        prefixes = [self._prefix(one) for one in prepared]
        # the next batch may go on with the last one's
        self._held = [held for held in self._held if held.prefix is prefixes[-1]]
        rests = [one.prompt.ids[prefix.length :] for one, prefix in zip(prepared, prefixes, strict=True)]
        stop_ids, stopped = self.processor.stop_ids, self.processor.stopper()
        return go_on(self.model, prefixes, rests, max_new_tokens, stop_ids=stop_ids, stopped=stopped).tolist()

    def _prefix(self, prepared: Prepared) -> Prefix:
        """Return what the language model keeps of a prompt up to its last visual token."""
        length = 1 + max(place for place, visual in enumerate(prepared.prompt.visual) if visual >= 0)
        for held in self._held:
            if held.is_of(prepared, length):
                return held.prefix
        prefix = self.model.prefix(self.processor.collate([prepared]).to(self.model.device), length=length)
        ids = prepared.prompt.ids[:length]
        self._held.append(_Held(pixels_NCHW=prepared.pixels_NCHW, plans=prepared.plans, ids=ids, prefix=prefix))
        return prefix


def rounds(model: LMM) -> bool:
    """Tell whether a model computes in half precision, where a sum depends on the shape of its batch."""
    return model.dtype != torch.float32 or model.encoding.autocast is not None


def weight_facts(model: LMM) -> Config:
    """Return a digest of each part's weights."""
    encoder = model.encoder
    parts = {
        "encoder": encoder.encoder if isinstance(encoder, CachedEncoder) else encoder,
        "projector": model.projector,
        "llm": model.llm,
    }
    digests = {f"weights.{name}": fingerprint(part) for name, part in parts.items()}
    return {**digests, "weights.ends": digest_tensor(model.ends_KD)}


def flatten(data: object, prefix: str = "") -> dict[str, str | int | float | bool | None]:
    """Return nested dicts as one with dotted keys; lists and tuples become JSON text."""
    if isinstance(data, dict):
        flat: dict[str, str | int | float | bool | None] = {}
        for key, value in data.items():
            flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
        return flat
    if data is None or isinstance(data, str | int | float | bool):
        return {prefix: data}
    return {prefix: json.dumps(data)}


def _layout(prepared: Prepared, index: int) -> str:
    """Return rows x columns of a picture's detail view, or of its only view."""
    tiles = prepared.plans[index].canvases[-1].tiles
    return f"{tiles.h}x{tiles.w}"
