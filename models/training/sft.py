"""A user's own conversations in LLaVA's JSON format as training data: step -> batch.

    [{"id": "1", "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"},
                                                     {"from": "gpt", "value": "A cat."}]}, ...]

"image" may also be a list of files or absent; "video" names a clip.  Files are relative to the media folder.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyres.pixels import open_image
from models.batch import Batch
from models.example import PLACEHOLDER, Example, Turn
from models.prepared import Prepared
from models.processor import Processor
from models.training.lengths import epoch_batches
from video.reader import load_clip

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One record: its media files, in the order of their placeholders, and its turns."""

    id: str
    files: tuple[Path, ...]
    turns: tuple[Turn, ...]


def read_conversations(path: Path, media: Path) -> list[Conversation]:
    """Return the records of a LLaVA-format JSON file.

    Raises ValueError naming file, record and what is wrong, OSError for a file that cannot be read.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected a JSON list of records: {error}") from error
    if not isinstance(raw, list) or not raw:
        raise ValueError(f"{path}: expected a list of records, got {type(raw).__name__}")
    return [_conversation(record, f"{path}: record {index}", media) for index, record in enumerate(raw)]


def sft_source(
    conversations: list[Conversation], processor: Processor, batch_tokens: int, seed: int
) -> Callable[[int], Batch]:
    """Return the data of a supervised stage: step -> batch, epochs one after the other, each in its own order.

    Every sample is planned once, up front, to know its length. Raises ValueError naming a sample that cannot be read,
    does not fit the context, or is longer than batch_tokens.
    """

    def prepare(index: int) -> Prepared:
        return processor.prepare(_example(conversations[index], processor))

    lengths = [len(prepare(index).prompt) for index in range(len(conversations))]

    @lru_cache(maxsize=2)
    def epoch(number: int) -> list[tuple[int, ...]]:
        return epoch_batches(lengths, batch_tokens, seed, number)

    def batch(step: int) -> Batch:
        number = 0
        while step >= len(epoch(number)):
            step -= len(epoch(number))
            number += 1
        return processor.collate([prepare(index) for index in epoch(number)[step]])

    return batch


def _conversation(record: Any, where: str, media: Path) -> Conversation:
    if not isinstance(record, dict) or not isinstance(record.get("conversations"), list):
        raise ValueError(f"{where}: expected an object with 'conversations'")
    where = f"{where} (id {record.get('id')})"
    named = [record[key] for key in ("image", "video") if record.get(key)]
    files = [name for value in named for name in (value if isinstance(value, list) else [value])]
    turns = []
    for turn in record["conversations"]:
        if not isinstance(turn, dict) or turn.get("from") not in _ROLES or not isinstance(turn.get("value"), str):
            raise ValueError(f"{where}: expected turns {{'from': human or gpt, 'value': text}}, got {turn!r}")
        text = turn["value"].replace("<video>", PLACEHOLDER)
        turns.append(Turn(role=_ROLES[turn["from"]], text=text))
    placeholders = sum(turn.text.count(PLACEHOLDER) for turn in turns)
    if placeholders != len(files):
        raise ValueError(f"{where}: {placeholders} placeholder(s) {PLACEHOLDER} for {len(files)} file(s)")
    if not turns or turns[-1].role != "assistant":
        raise ValueError(f"{where}: the last turn must be an answer")
    return Conversation(id=str(record.get("id")), files=tuple(media / str(name) for name in files), turns=tuple(turns))


def _example(conversation: Conversation, processor: Processor) -> Example:
    media = tuple(_medium(path, processor) for path in conversation.files)
    return Example(id=conversation.id, media=media, turns=conversation.turns)


def _medium(path: Path, processor: Processor) -> Any:
    if path.suffix.lower() in (".mp4", ".mkv", ".avi", ".mov", ".webm"):
        return load_clip(path, processor.spec.video)
    return open_image(path)
