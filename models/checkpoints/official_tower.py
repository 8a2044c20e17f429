"""The vision tower of an official folder: inside its weights, or in a folder that its config names.

Inside the weights there is no tower config. It is looked for in the folder that mm_vision_tower names; failing that,
the names of the towers that the releases use stand for their published sizes. Either way the tensors are checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from models.checkpoints.format import read_json
from models.checkpoints.rename import rename
from models.checkpoints.tensors import LazyTensors, lazily
from models.checkpoints.tower import CLIP_MEAN, CLIP_STD, SIGLIP_MEAN, SIGLIP_STD
from models.encoders.folder import read_tower
from models.encoders.promise import check_promise, encoder_spec, measured
from models.encoders.spec import RGB, EncoderSpec

INSIDE = "model.vision_tower.vision_tower."
OURS = "encoder.tower."
# folder that this project writes beside the weights
WRITTEN = "vision_tower"

_CLIP_L = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
_SIGLIP_SO400M = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "patch_size": 14,
}
PUBLISHED = {
    "openai/clip-vit-large-patch14": {**_CLIP_L, "image_size": 224},
    "openai/clip-vit-large-patch14-336": {**_CLIP_L, "image_size": 336},
    "google/siglip-so400m-patch14-224": {**_SIGLIP_SO400M, "image_size": 224},
    "google/siglip-so400m-patch14-384": {**_SIGLIP_SO400M, "image_size": 384},
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tower:
    """A tower's spec and its tensors by run folder names."""

    spec: EncoderSpec
    tensors: Mapping[str, Tensor]


def find_tower(folder: Path, config: Mapping[str, Any], files: LazyTensors) -> Tower:
    """Return the tower of an official folder. Raises ValueError listing the places that were looked at."""
    name = config["mm_vision_tower"]
    if config.get("mm_vision_select_feature", "patch") != "patch":
        found = config["mm_vision_select_feature"]
        raise ValueError(f"{folder}: mm_vision_select_feature {found!r} is not supported, expected 'patch'")
    beside = _beside(folder, name)
    if beside is None and name not in PUBLISHED:
        places = ", ".join(str(place) for place in _places(folder, name))
        raise ValueError(
            f"{folder}: no config of the vision tower {name!r}: no config.json in {places}, and it is none of "
            f"{', '.join(PUBLISHED)}"
        )
    raw = PUBLISHED[name] if beside is None else read_json(beside / "config.json")
    inside = [key for key in files if key.startswith(INSIDE)]
    if inside:
        nested = any(key.startswith(f"{INSIDE}vision_model.") for key in inside)
        names = rename(inside, "official" if nested else "official_bare", "anyres")
        state = files.renamed({old: new.removeprefix(OURS) for old, new in names.items()})
    elif beside is not None:
        state = lazily(read_tower(beside).state)
    else:
        raise ValueError(f"{folder}: no vision tower: no {INSIDE}* in the weights and no folder {name!r} beside them")
    spec = _spec(config, raw, beside, measured(state)["layers"])
    where = f"{folder}: mm_vision_tower {name!r}" if beside is None else str(beside)
    check_promise(spec, measured(state), where)
    return Tower(spec=replace(spec, weights=name), tensors=state.renamed({key: OURS + key for key in state}))


def _places(folder: Path, name: str) -> list[Path]:
    base = Path(name).name
    return [folder / name, folder / base, folder.parent / name, folder.parent / base, folder / WRITTEN]


def _beside(folder: Path, name: str) -> Path | None:
    """Return the folder that holds the tower's config: as named, within the checkpoint or next to it."""
    return next((place for place in _places(folder, name) if (place / "config.json").is_file()), None)


def _spec(config: Mapping[str, Any], raw: Mapping[str, Any], beside: Path | None, blocks: int) -> EncoderSpec:
    mean, std = _colours(beside)
    spec = encoder_spec(
        raw, layer=config.get("mm_vision_select_layer", -2), mean=mean or CLIP_MEAN, std=std or CLIP_STD
    )
    if spec.backend == "hf_clip":
        return spec
    # the released code drops SigLIP's last block and reads the one before it, whatever mm_vision_select_layer says;
    # checkpoints are saved without the dropped block
    layer = -1 if blocks == spec.layers - 1 else -2
    layers = blocks if layer == -1 else spec.layers
    return replace(spec, layers=layers, layer=layer, mean=mean or SIGLIP_MEAN, std=std or SIGLIP_STD)


def _colours(beside: Path | None) -> tuple[RGB | None, RGB | None]:
    if beside is None or not (beside / "preprocessor_config.json").is_file():
        return None, None
    settings = read_json(beside / "preprocessor_config.json")
    mean, std = settings.get("image_mean"), settings.get("image_std")
    return mean and (mean[0], mean[1], mean[2]), std and (std[0], std[1], std[2])
