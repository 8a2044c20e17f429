"""Read the vision tower out of a checkpoint folder: transformers' or open_clip's layout, safetensors only.

The layout and the tower's type are read from the config file inside; the folder's name means nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassClassValidationError
from torch import Tensor
from transformers import Dinov2Model, Dinov2WithRegistersModel

from models.checkpoints.format import read_json
from models.checkpoints.shards import shard_files
from models.checkpoints.stream import Slot, read_header, read_slot
from models.encoders.promise import promised, promised_open_clip
from models.encoders.rename import open_clip_to_hf_clip, timm_to_hf_siglip

HF_CONFIG = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"
PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TowerFiles:
    """A tower as found on disk. promised: fields of EncoderSpec that its configs fix.

    state: in transformers' names, of an EVA in timm's.
    """

    promised: Mapping[str, Any]
    state: Mapping[str, Tensor] = field(repr=False)


def read_tower(folder: Path) -> TowerFiles:
    """Return the tower in a folder: a vision model, or the vision part of a whole CLIP or SigLIP model.

    Raises ValueError naming the folder when it holds no config of a known layout or no safetensors file.
    """
    if (folder / OPEN_CLIP_CONFIG).is_file():
        return _open_clip(folder)
    if (folder / HF_CONFIG).is_file():
        return _transformers(folder)
    raise ValueError(f"{folder}: expected {HF_CONFIG} or {OPEN_CLIP_CONFIG} there, found {_names(folder)}")


def _transformers(folder: Path) -> TowerFiles:
    try:
        fields = promised(read_json(folder / HF_CONFIG))
    except StrictDataclassClassValidationError as error:
        raise ValueError(f"{folder / HF_CONFIG}: {' '.join(str(error).split())}") from error
    if (folder / PREPROCESSOR).is_file():
        processor = read_json(folder / PREPROCESSOR)
        fields |= _colours(processor.get("image_mean"), processor.get("image_std"))
    if fields["backend"] == "hf_dinov2":
        return TowerFiles(promised=fields, state=_dinov2(folder, fields["prefix_tokens"] > 1))
    state = _tensors(folder, "model", part="vision_model.")
    # pooling heads are not read; position_ids are rebuilt
    unread = ("head.", "embeddings.position_ids")
    return TowerFiles(promised=fields, state={k: v for k, v in state.items() if not k.startswith(unread)})


def _dinov2(folder: Path, registers: bool) -> dict[str, Tensor]:
    # the releases have older names, which transformers alone knows to renew
    kind = Dinov2WithRegistersModel if registers else Dinov2Model
    for file in _files(folder, "model"):
        # transformers reads them next: what they promise is checked first
        read_header(file)
    model, info = kind.from_pretrained(
        folder, dtype="auto", local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    lost = {name: sorted(map(str, keys)) for name, keys in info.items() if keys}
    if lost:
        raise ValueError(f"{folder}: parameters do not fit a DINOv2 tower: {lost}")
    return model.state_dict()


def _open_clip(folder: Path) -> TowerFiles:
    config = read_json(folder / OPEN_CLIP_CONFIG)
    fields = promised_open_clip(config["model_cfg"])
    preprocess = config.get("preprocess_cfg", {})
    fields |= _colours(preprocess.get("mean"), preprocess.get("std"))
    state = _tensors(folder, "open_clip_model", part="visual.")
    trunk = {key.removeprefix("trunk."): value for key, value in state.items()}
    if fields.get("backend") == "open_clip_eva":
        # the projection into CLIP's joint space is never used
        return TowerFiles(promised=fields, state={k: v for k, v in trunk.items() if not k.startswith("head.")})
    if fields["prefix_tokens"]:
        return TowerFiles(promised=fields, state=open_clip_to_hf_clip(state))
    return TowerFiles(promised=fields, state=timm_to_hf_siglip(trunk))


def _tensors(folder: Path, stem: str, part: str) -> dict[str, Tensor]:
    """Return the tensors under the prefix `part`, without it; of a file that has no such prefix, all of them."""
    places: dict[str, tuple[Path, Slot]] = {}
    for file in _files(folder, stem):
        places |= {key: (file, slot) for key, slot in read_header(file).items()}
    prefix = part if any(key.startswith(part) for key in places) else ""
    # of a whole model only the vision part is read from disk
    wanted = {key: place for key, place in places.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): read_slot(file, slot) for key, (file, slot) in wanted.items()}


def _files(folder: Path, stem: str) -> list[Path]:
    """Return the safetensors files of a folder; ValueError when it has none, or an index that names others."""
    index, single = folder / f"{stem}.safetensors.index.json", folder / f"{stem}.safetensors"
    if index.is_file():
        files = [folder / name for name in shard_files(index)]
    elif single.is_file():
        files = [single]
    else:
        raise ValueError(f"{folder}: expected {single.name} there (pickles are not read), found {_names(folder)}")
    if strange := [file.name for file in files if file.suffix != ".safetensors"]:
        raise ValueError(f"{index}: shard {strange[0]} is no safetensors file (pickles are not read)")
    return files


def _colours(mean: Any, std: Any) -> dict[str, tuple[float, ...]]:
    found = {"mean": mean, "std": std}
    return {name: tuple(values) for name, values in found.items() if values is not None}


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
