"""The Answerer for a model of this project: decode, plan, encode each distinct tile once, generate greedily."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from PIL import Image

from anyres.decode import MediaError as ImageError
from anyres.decode import open_image
from anyres.grid import GridSpec
from evals.feature_cache import CachedEncoder
from evals.fingerprint import digest_tensor, fingerprint
from evals.ledger import Config
from evals.predict import Answer, MediaFailed, OutOfMemory, Question, Ready
from evals.sample import Media
from evals.stopwatch import Stopwatch
from models.example import Example, Turn
from models.lmm import LMM
from models.processor import Prepared, Processor
from models.prompt.template import place_media
from video.clip import VideoClip, VideoSpec
from video.errors import MediaError as VideoError
from video.reader import Backend, load_clip

if TYPE_CHECKING:
    from models.example import Medium


class LmmAnswerer:
    """Answers with `model`; grid and video replace the model's own settings, `reader` picks the video backend."""

    def __init__(
        self,
        model: LMM,
        processor: Processor,
        *,
        grid: GridSpec | None = None,
        video: VideoSpec | None = None,
        reader: Backend = "auto",
    ) -> None:
        self.model, self.processor = model, processor
        self.grid, self.video, self.reader = grid, video, reader
        # the media asked about last, rendered: questions come grouped by their media
        self._last: tuple[tuple[object, ...], Prepared] | None = None

    def facts(self) -> Config:
        """Return the model's spec and weights, the effective grid and video settings, device and dtype, flat."""
        spec = asdict(self.processor.spec)
        spec["grid"] = asdict(self.grid or self.processor.spec.grid)
        spec["video"] = asdict(self.video or self.processor.spec.video)
        return {
            **{f"model.{key}": value for key, value in flatten(spec).items()},
            **self._weights(),
            "device": self.model.device.type,
            "dtype": str(self.model.dtype),
            "video.reader": self.reader,
            "decoding": "greedy",
        }

    def _weights(self) -> Config:
        """Return a digest of each part's weights."""
        encoder = self.model.encoder
        parts = {
            "encoder": encoder.encoder if isinstance(encoder, CachedEncoder) else encoder,
            "projector": self.model.projector,
            "llm": self.model.llm,
        }
        digests = {f"weights.{name}": fingerprint(part) for name, part in parts.items()}
        return {**digests, "weights.ends": digest_tensor(self.model.ends_KD)}

    def open(self, media: Media) -> Medium:
        """Return an upright image, or the frames that the video settings ask for."""
        if media.draw is not None:
            drawn = media.draw()
            if not isinstance(drawn, Image.Image | VideoClip):
                raise TypeError(f"{media.key}: drew a {type(drawn).__name__}, expected an image or a clip")
            return drawn
        assert media.path is not None
        try:
            if media.kind == "image":
                return open_image(media.path)
            return load_clip(media.path, self.video or self.processor.spec.video, self.reader)
        except (ImageError, VideoError) as error:
            raise MediaFailed(str(error)) from error

    def prepare(self, question: Question) -> Ready:
        """Return the question planned and rendered: its media first, one placeholder a line, then the prompt."""
        text = place_media(question.prompt, len(question.media))
        media: tuple[Medium, ...] = question.media  # type: ignore[assignment]
        example = Example(id=question.id, media=media, turns=(Turn(role="user", text=text),))
        if self._last is not None and self._last[0] is question.media:
            prepared = self.processor.reprompt(self._last[1], example)
        else:
            prepared = self.processor.prepare(example, grid=self.grid, video=self.video)
            self._last = (question.media, prepared)
        clips = [medium for medium in media if isinstance(medium, VideoClip)]
        return Ready(
            payload=prepared,
            visual_tokens=prepared.num_visual,
            text_tokens=len(prepared.prompt.ids) - prepared.num_visual,
            tiles=len(prepared.pixels_NCHW),
            grid=" ".join(_layout(prepared, index) for index, m in enumerate(media) if not isinstance(m, VideoClip)),
            frames=sum(len(clip.frames_FHWC) for clip in clips),
            reader="; ".join(dict.fromkeys(clip.reader for clip in clips)),
        )

    def answer(self, ready: Sequence[Ready], max_new_tokens: int) -> list[Answer]:
        """Return one greedy answer each; its tokens count a stop string of several tokens, but not a stop id."""
        prepared: list[Prepared] = [item.payload for item in ready]  # type: ignore[misc]
        try:
            batch = self.processor.collate(prepared).to(self.model.device)
            with Stopwatch(self.model) as watch:
                ids_BL = self.model.generate(
                    batch, max_new_tokens, stop_ids=self.processor.stop_ids, stopped=self.processor.stopper()
                ).tolist()
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(str(error)) from error
        return [
            Answer(
                text=self.processor.decode(ids_L),
                tokens=len(self.processor.written(ids_L)),
                encode_seconds=watch.encode / len(ready),
                prefill_seconds=watch.prefill / len(ready),
                decode_seconds=watch.decode / len(ready),
                batch=len(ready),
                peak_mib=watch.peak_mib,
            )
            for ids_L in ids_BL
        ]


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
