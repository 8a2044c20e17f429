"""The tensors of an official folder but for its tower: whole weights, or a stage 1 projector on top of its base model.

Stage 1 of the released recipe trains the projector alone and saves it alone, as mm_projector.bin beside a config.json
whose _name_or_path is the language model that it was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from models.checkpoints.tensors import (
    SAFETENSORS,
    SAFETENSORS_INDEX,
    TORCH,
    TORCH_INDEX,
    LazyTensors,
    read_file,
    read_tensors,
)
from models.checkpoints.tokenizer import find_tokenizer

PROJECTOR_ALONE = "mm_projector.bin"
_WHOLE = (SAFETENSORS, SAFETENSORS_INDEX, TORCH, TORCH_INDEX)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Files:
    """An official folder's tensors by official names, and its tokenizer."""

    tensors: LazyTensors
    tokenizer: Tokenizer


def read_files(folder: Path, config: Mapping[str, Any], pickles: bool = False) -> Files:
    """Return the tensors and the tokenizer of an official folder, those that it lacks from its base model's.

    pickles: as for read_tensors.
    Raises ValueError listing what was looked for.
    """
    alone = (folder / PROJECTOR_ALONE).is_file() and not _whole(folder)
    if not alone:
        return Files(tensors=read_tensors(folder, pickles), tokenizer=find_tokenizer(folder))
    base = _base(folder, config)
    # the projector's file wins: with mm_use_im_start_end it holds the trained word vectors, too
    tensors = read_tensors(base, pickles).joined(read_file(folder / PROJECTOR_ALONE, pickles))
    has_tokenizer = any(folder.glob("tokenizer.*"))
    return Files(tensors=tensors, tokenizer=find_tokenizer(folder if has_tokenizer else base))


def _whole(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WHOLE)


def _base(folder: Path, config: Mapping[str, Any]) -> Path:
    name = config.get("_name_or_path")
    if not name:
        raise ValueError(f"{folder}: {PROJECTOR_ALONE} needs its language model: config.json has no _name_or_path")
    found = Path(name).name
    places = [folder / name, folder / found, folder.parent / name, folder.parent / found]
    base = next((place for place in places if place.resolve() != folder.resolve() and _whole(place)), None)
    if base is None:
        raise ValueError(
            f"{folder}: {PROJECTOR_ALONE} needs its language model {name!r} (_name_or_path in config.json): no weights "
            f"in {', '.join(map(str, places))}"
        )
    return base
