"""A LoRA folder: its files, its low-rank pairs by module, and the tensors it stores whole.

Legend: R rank, I in, O out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.adapters.config import CONFIG, LoraConfig, read_lora_config
from models.checkpoints.format import read_json
from models.checkpoints.tensors import LazyTensors, read_file

SAFETENSORS, TORCH, WHOLE = "adapter_model.safetensors", "adapter_model.bin", "non_lora_trainables.bin"
# where trainers put an adapter that has a name, from the folder of a checkpoint
NESTED = ("adapter_model/lora_default", "adapter_model/lora_policy", "adapter_model", "lora_default", "lora_policy")

_WRAPPER = "base_model.model."
_LOW_RANK = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?P<name>[^.]+))?\.weight")
_SAVED = re.compile(r"\.modules_to_save(?:\.[^.]+)?(?=\.[^.]+$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The names of a module's two matrices in the adapter's file: down [R, I] and up [O, R]."""

    down: str
    up: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """A LoRA folder, read.

    pairs: by module; whole: tensors to take as they are; both by the base model's names. model_config:
    the folder's config.json, of the model that the adapter makes; {} when there is none.
    """

    file: Path
    config: LoraConfig
    tensors: LazyTensors
    pairs: Mapping[str, Pair]
    whole: LazyTensors
    model_config: Mapping[str, Any]


def adapter_folder(folder: Path) -> Path | None:
    """Return where an adapter lies: in `folder` or in one of its sub-folders that trainers write; None for neither."""
    return next((place for place in (folder, *(folder / name for name in NESTED)) if (place / CONFIG).is_file()), None)


def read_adapter(folder: Path, pickles: bool = False) -> Adapter:
    """Return the adapter of a folder. pickles: as for read_tensors.

    Raises ValueError naming a file that is missing, a config that is not supported, a tensor that is unknown, or a
    matrix without its partner or of another rank than the config says.
    """
    place = adapter_folder(folder)
    if place is None:
        raise ValueError(f"{folder}: no adapter, looked for {CONFIG} there and in {', '.join(NESTED)}")
    config = read_lora_config(place / CONFIG)
    file = next((place / name for name in (SAFETENSORS, TORCH) if (place / name).is_file()), None)
    if file is None:
        raise ValueError(f"{place}: no adapter weights, looked for {SAFETENSORS}, {TORCH}")
    tensors = read_file(file, pickles)
    sides: dict[str, dict[str, str]] = {}
    saved: dict[str, str] = {}
    for key in tensors:
        if not key.startswith(_WRAPPER):
            raise ValueError(f"{file}: tensor {key} is unknown, expected names that start with {_WRAPPER}")
        inner = key.removeprefix(_WRAPPER)
        if (found := _LOW_RANK.fullmatch(inner)) is not None:
            _add(sides.setdefault(found["module"], {}), found["side"], key, file)
        elif (plain := _SAVED.sub("", inner)).rsplit(".", 1)[0].endswith(config.whole):
            saved[key] = plain
        else:
            raise ValueError(f"{file}: tensor {key} is unknown, expected lora_A, lora_B or one of modules_to_save")
    pairs = {module: _pair(module, names, tensors, config, file) for module, names in sides.items()}
    if not pairs:
        raise ValueError(f"{file}: no lora_A and lora_B among {len(tensors)} tensors")
    return Adapter(
        file=file,
        config=config,
        tensors=tensors,
        pairs=pairs,
        whole=tensors.renamed(saved).joined(_non_lora(folder, place, pickles)),
        model_config=_model_config(folder, place),
    )


def base_folder(folder: Path) -> Path:
    """Return the local folder that an adapter's base_model_name_or_path names.

    A relative path or a name is looked for here, in the adapter's parent folder, and there by its last part. Raises
    ValueError listing the places when there is none.
    """
    place = adapter_folder(folder) or folder
    name = read_lora_config(place / CONFIG).base
    parent = folder.absolute().parent
    places = [Path(name), parent / name, parent / Path(name).name] if name else []
    found = next((base for base in places if base.is_dir() and adapter_folder(base) is None), None)
    if found is None:
        looked = ", ".join(map(str, places)) or "nowhere, the key is empty"
        raise ValueError(
            f"{place / CONFIG}: base_model_name_or_path {name!r} is no local folder (looked at {looked}); nothing is "
            "downloaded, so name the base: load(base, adapter=folder) or anyres-convert ... base=FOLDER"
        )
    return found


def _add(sides: dict[str, str], side: str, key: str, file: Path) -> None:
    if side in sides:
        raise ValueError(f"{file}: {sides[side]} and {key} are the same matrix of two adapters, expected one adapter")
    sides[side] = key


def _pair(module: str, names: Mapping[str, str], tensors: LazyTensors, config: LoraConfig, file: Path) -> Pair:
    for side in ("A", "B"):
        if side not in names:
            raise ValueError(f"{file}: {module} has no lora_{side}.weight")
    pair, rank = Pair(down=names["A"], up=names["B"]), config.rank_of(module)
    down_RI, up_OR = tensors.what(pair.down).shape, tensors.what(pair.up).shape
    if len(down_RI) != 2 or len(up_OR) != 2 or (down_RI[0], up_OR[1]) != (rank, rank):
        raise ValueError(
            f"{file}: {pair.down} is {list(down_RI)} and {pair.up} is {list(up_OR)}, expected [{rank}, in] and "
            f"[out, {rank}] by the config's rank"
        )
    return pair


def _non_lora(folder: Path, place: Path, pickles: bool) -> LazyTensors:
    """Return what was trained beside the adapter, by the names of the model without adapters."""
    path = next((where / WHOLE for where in (place, folder) if (where / WHOLE).is_file()), None)
    if path is None:
        return LazyTensors({})
    tensors = read_file(path, pickles)
    plain = {key: key.removeprefix("base_model.") for key in tensors}
    if any(key.startswith("model.model.") for key in plain.values()):
        plain = {old: key.removeprefix("model.") for old, key in plain.items()}
    return tensors.renamed(plain)


def _model_config(folder: Path, place: Path) -> Mapping[str, Any]:
    path = next((where / "config.json" for where in (place, folder) if (where / "config.json").is_file()), None)
    return {} if path is None else read_json(path)
