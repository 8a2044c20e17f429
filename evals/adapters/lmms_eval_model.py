"""A model of this project as lmms-eval calls it: `--model anyres --model_args pretrained=FOLDER,video.num_frames=32`.

Written for lmms-eval 0.7's chat models: a request holds (context, doc_to_messages, generation settings, document index,
task, split), and the document is looked up in `task_dict`.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from PIL import Image
from tqdm import tqdm

from anyres.decode import open_image
from anyres.grid import GridSpec
from conf.build import build
from evals.media.decoding import decode
from evals.sample import Media
from models.build import load
from models.example import PLACEHOLDER, Example, Turn
from models.prepared import Prepared
from video.clip import VideoSpec

if TYPE_CHECKING:
    from models.example import Medium

T = TypeVar("T")

# what generation settings of tasks may hold beside what is read here; none of it is told to the model
_UNREAD = {"do_sample", "image_aspect_ratio", "num_beams", "top_k", "use_cache"}
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How answers of one batch are written; requests with the same may share one."""

    max_new_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]


class AnyResAdapter(lmms):
    """An LMM behind lmms-eval's interface.

    pretrained: "pocket" or a checkpoint folder. batch_size: questions at once. settings: grid.KEY and video.KEY on top
    of the model's own, as on this project's command lines. seed: of the draws of tasks that sample.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str = "pocket",
        batch_size: int | str = 1,
        device: str | None = None,
        dtype: str | None = None,
        rope_factor: float | None = None,
        reader: str = "auto",
        seed: int = 0,
        max_batch_size: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        if dtype is not None and dtype not in _DTYPES:
            raise ValueError(f"dtype: expected one of {', '.join(_DTYPES)}, got {dtype!r}")
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ValueError(f"batch_size: expected a number of at least 1, got {batch_size!r}")
        own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device or own)
        self.model, self.processor = load(
            pretrained, self.device, None if dtype is None else _DTYPES[dtype], rope_factor
        )
        spec = self.processor.spec
        self.grid = _settings(GridSpec, spec.grid, settings, "grid")
        self.video = _settings(VideoSpec, spec.video, settings, "video")
        if settings:
            raise ValueError(
                f"model_args: unknown {', '.join(sorted(settings))}; grid.KEY and video.KEY set how to look"
            )
        self.reader, self.batch_size = reader, int(batch_size)
        self._generator = torch.Generator(self.device).manual_seed(seed)

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Return an answer to each request, in their order, with the tokens read (visual ones too) and written."""
        results: list[GenerationResult | None] = [None] * len(requests)
        progress = tqdm(total=len(requests), disable=self.rank != 0, desc="anyres")
        for writing, numbers in self._batches(requests):
            prepared = [self._prepare(requests[number], number) for number in numbers]
            for number, result in zip(numbers, self._answers(prepared, writing), strict=True):
                results[number] = result
            progress.update(len(numbers))
        progress.close()
        # what only fills up a rank's last batch is answered with nothing
        return [result or GenerationResult(text="") for result in results]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[list[str]]:
        """Return the answers of all rounds of each request; each round's messages depend on the answers before."""
        return [self._rounds(request, number) for number, request in enumerate(requests)]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Raise NotImplementedError: lmms-eval asks it of simple models only, and its sign differs between them."""
        raise NotImplementedError(
            "lmms-eval asks chat models for generated answers only; anyres-eval scores options by their log-likelihood"
        )

    def _batches(self, requests: Sequence[Instance]) -> Iterator[tuple[Writing, list[int]]]:
        """Yield the numbers of requests that are answered together; those on one document stay neighbours."""
        wanted = [number for number, one in enumerate(requests) if not one.metadata.get("__padding_only__")]
        writings = {number: _writing(requests[number].args[2]) for number in wanted}
        wanted.sort(key=lambda number: (repr(writings[number]), number))
        for writing, group in groupby(wanted, key=writings.__getitem__):
            numbers = list(group)
            for start in range(0, len(numbers), self.batch_size):
                yield writing, numbers[start : start + self.batch_size]

    def _prepare(self, request: Instance, number: int) -> Prepared:
        _, to_messages, _, document, task, split = request.args
        return self._prepare_messages(to_messages(self.task_dict[task][split][document]), f"{task}/{document}")

    def _prepare_messages(self, messages: list[dict[str, Any]], name: str) -> Prepared:
        turns, media = self._read(ChatMessages(messages=messages))
        return self.processor.prepare(Example(id=name, media=media, turns=turns), grid=self.grid, video=self.video)

    def _read(self, chat: ChatMessages) -> "tuple[tuple[Turn, ...], tuple[Medium, ...]]":
        """Return a conversation's turns, each medium a placeholder where it stands, and its decoded media."""
        turns: list[Turn] = []
        media: list[Medium] = []
        for message in chat.messages:
            if message.role == "system":
                raise ValueError("a system message: the model's template holds the one it was trained with")
            shown = [self._open(part) for part in message.content if part.type != "text"]
            turns.append(Turn(role=message.role, text=_placed(message.content)))
            media += shown
        return tuple(turns), tuple(media)

    def _open(self, part: Any) -> "Medium":
        """Return the picture or the frames of a part; raises for one that cannot be read: it is never left out."""
        if part.type == "image":
            return open_image(part.url)
        if part.type != "video":
            raise ValueError(f"a medium of type {part.type!r}: expected an image or a video")
        told = part.url if isinstance(part.url, Mapping) else {}
        url = told.get("url") or told.get("path") or part.url
        if isinstance(url, Image.Image) or not isinstance(url, str | Path):
            raise ValueError(f"a video as {type(url).__name__}: expected the path of a file")
        start = told.get("video_start", part.start_time)
        end = told.get("video_end", part.end_time)
        span = None if start is None and end is None else (float(start or 0), float("inf" if end is None else end))
        video = self.video or self.processor.spec.video
        return decode(Media.file(Path(url), "video", span), video, self.reader)  # type: ignore[arg-type]

    def _answers(self, prepared: Sequence[Prepared], writing: Writing) -> list[GenerationResult]:
        processor = self.processor
        batch = processor.collate(prepared).to(self.model.device)
        ids_BL = self.model.generate(
            batch,
            writing.max_new_tokens,
            stop_ids=processor.stop_ids,
            stopped=processor.stopper(writing.stop),
            temperature=writing.temperature,
            top_p=writing.top_p,
            generator=self._generator,
        ).tolist()
        return [
            GenerationResult(
                text=processor.decode(ids_L, writing.stop),
                token_counts=TokenCounts(
                    input_tokens=len(one.prompt), output_tokens=len(processor.written(ids_L, writing.stop))
                ),
            )
            for one, ids_L in zip(prepared, ids_BL, strict=True)
        ]

    def _rounds(self, request: Instance, number: int) -> list[str]:
        _, to_messages, settings, document, task, split = request.args
        doc, writing = self.task_dict[task][split][document], _writing(settings)
        answers: list[str] = []
        messages, told = to_messages(doc), None
        while True:
            prepared = self._prepare_messages(messages, f"{task}/{document}")
            answers.append(self._answers([prepared], writing)[0].text)
            following = to_messages(
                doc, round_idx=len(answers), previous_output=list(answers), previous_round_info=told
            )
            if not isinstance(following, tuple) or following[1]:
                return answers
            messages, _, _, told = following


def _placed(content: Sequence[Any]) -> str:
    """Return a message's text: a placeholder line for each medium, unless the text holds one for each already."""
    texts = "\n".join(part.text for part in content if part.type == "text")
    held, shown = texts.count(PLACEHOLDER), sum(part.type != "text" for part in content)
    if held and held != shown:
        raise ValueError(f"the task's text holds {held} times {PLACEHOLDER}, for {shown} media")
    if held:
        return texts
    return "\n".join(part.text if part.type == "text" else PLACEHOLDER for part in content)


def _settings(cls: type[T], own: T, settings: dict[str, Any], group: str) -> T | None:
    """Take a group's settings out of the arguments; return them on top of the model's own, or None for those."""
    given = {key: settings.pop(key) for key in list(settings) if key.startswith(f"{group}.")}
    if not given:
        return None
    return build(cls, {**asdict(own), **{key.split(".", 1)[1]: value for key, value in given.items()}}, group)  # type: ignore[call-overload]


def _writing(settings: Mapping[str, Any]) -> Writing:
    """Return how a task wants its answers; ValueError for beams, which are not searched here."""
    known = dict(settings)
    if known.get("num_beams") not in (None, 1):
        raise ValueError(f"num_beams={known['num_beams']}: answers are written token by token, without beams")
    temperature = float(known.pop("temperature", None) or 0.0)
    drawn = temperature if known.get("do_sample") is not False else 0.0
    until = known.pop("until", None) or ()
    writing = Writing(
        max_new_tokens=int(known.pop("max_new_tokens", None) or known.pop("max_gen_toks", None) or 128),
        temperature=drawn,
        top_p=float(known.pop("top_p", None) or 1.0),
        stop=(until,) if isinstance(until, str) else tuple(until),
    )
    for key in sorted(set(known) - _UNREAD):
        _log.warning("generation setting %s=%r of the task is not used", key, known[key])
    return writing
