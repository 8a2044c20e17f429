"""The Answerer whose model is behind an OpenAI-compatible endpoint: for baselines served by vLLM, SGLang or a host.

Pictures go as data URLs, clips as the frames that the video settings choose. Tokens are those that the endpoint
reports: its prompts are not planned here, so visual tokens are not told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from anyres.limits import LIMITS, MediaLimits
from evals.media.decoders import Decoders
from evals.media.decoding import decode
from evals.protocol import Answer, Question, Ready
from evals.remote.endpoint import Chat, Endpoint, EndpointDown, EndpointSpec, RequestFailed
from evals.remote.messages import Encoding, Part, encode_media, user_message
from evals.sample import Media
from evals.store.ledger import Config
from video.clip import VideoClip, VideoSpec
from video.reader import Backend

if TYPE_CHECKING:
    from models.example import Medium


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSpec(EndpointSpec):
    """An endpoint that is evaluated. workers: questions under way at a time. frames: of clips, without a VideoSpec."""

    timeout_s: float = 300.0
    workers: int = 8
    encoding: Encoding = "png"
    frames: int = 8

    def __post_init__(self) -> None:
        # not super(): a slotted dataclass is another class than the one its methods were written in
        EndpointSpec.__post_init__(self)
        if self.workers < 1 or self.frames < 1:
            raise ValueError(f"engine: expected at least 1 worker and 1 frame, got {self.workers}, {self.frames}")


class RemoteAnswerer:
    """Answers through `endpoint`, a micro-batch at a time. decoders: processes that decode files, None for this one.

    limits: of what this process reads.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        spec: RemoteSpec,
        video: VideoSpec | None = None,
        reader: Backend = "auto",
        decoders: Decoders | None = None,
        limits: MediaLimits = LIMITS,
    ) -> None:
        self.endpoint, self.spec, self.reader, self.decoders = endpoint, spec, reader, decoders
        self.limits = limits
        self.video = video or VideoSpec(policy="uniform", num_frames=spec.frames)
        # the media asked about last, encoded: questions come grouped by their media
        self._last: tuple[tuple[Medium, ...], list[list[Part]]] = ((), [])

    def facts(self) -> Config:
        """Return address, model and sampling, and how media are sent."""
        frames = {key: value for key, value in asdict(self.video).items() if key in ("policy", "num_frames", "fps")}
        return {
            "engine": "endpoint",
            **{f"endpoint.{key}": value for key, value in self.spec.facts.items()},
            "encoding": self.spec.encoding,
            "video.reader": self.reader,
            **{f"video.{key}": value for key, value in frames.items()},
        }

    def open(self, media: Media) -> Medium:
        """Return an upright image, or the frames that the video settings ask for."""
        if self.decoders is None or media.path is None:
            return decode(media, self.video, self.reader, limits=self.limits)
        return self.decoders.decode(media, self.video, self.reader)

    def prepare(self, question: Question) -> Ready:
        """Return the messages to send. An opening is the last line of the question: endpoints do not take it."""
        media: tuple[Medium, ...] = question.media  # type: ignore[assignment]
        text = f"{question.prompt}\n{question.opening}" if question.opening else question.prompt
        message = user_message(text, self._parts(media))
        clips = [medium for medium in media if isinstance(medium, VideoClip)]
        return Ready(
            payload=[message],
            visual_tokens=0,
            text_tokens=0,
            tiles=sum(len(parts) for parts in self._parts(media)),
            frames=sum(len(clip.frames_FHWC) for clip in clips),
            reader="; ".join(dict.fromkeys(clip.reader for clip in clips)),
            nbytes=_length(self._parts(media)),
        )

    def _parts(self, media: tuple[Medium, ...]) -> list[list[Part]]:
        if self._last[0] is not media:
            self._last = media, encode_media(media, self.spec.encoding)
        return self._last[1]

    def answer(self, ready: Sequence[Ready], max_new_tokens: int) -> list[Answer]:
        """Return the answers in order; one that is refused is a failure of its own.

        Raises EndpointRefused or, when no question at all is answered for want of an endpoint, ConnectionError: the run
        stops and resumes.
        """
        conversations: list[Sequence[Mapping[str, object]]] = [item.payload for item in ready]  # type: ignore[misc]
        found = dict(self.endpoint.chat_all(conversations, max_new_tokens, self.spec.workers))
        if all(isinstance(chat, EndpointDown) for chat in found.values()):
            raise ConnectionError(f"{self.spec.url}: {found[0]}")
        return [_answer(found[place]) for place in range(len(ready))]


def _answer(chat: Chat | RequestFailed) -> Answer:
    if isinstance(chat, RequestFailed):
        return Answer(text="", tokens=0, failure=str(chat))
    return Answer(text=chat.text, tokens=chat.answer_tokens or 0, prompt_tokens=chat.prompt_tokens)


def _length(media: Sequence[Sequence[Part]]) -> int:
    """Return the bytes that encoded media take."""
    return sum(len(str(part["image_url"])) for parts in media for part in parts)
