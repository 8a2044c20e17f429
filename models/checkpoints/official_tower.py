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
from models.encoders.states import SLICE_M25811_F6, slice_four

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
    where = f"{folder}: mm_vision_tower {name!r}" if beside is None else str(beside)
    spec = _spec(config, raw, beside, measured(state)["layers"], str(folder))
    check_promise(spec, measured(state), where)
    return Tower(spec=replace(spec, weights=name), tensors=state.renamed({key: OURS + key for key in state}))


def tower_keys(spec: EncoderSpec) -> dict[str, Any]:
    """Return the keys of config.json that tell the tower, its weights among the others.

    Raises ValueError for a tower, or hidden states of it, that the official layout does not know.
    """
    features, layer = "patch", spec.layer
    if spec.second is not None or spec.trained_px is not None:
        raise ValueError("encoder: the official layout holds one tower, with its own tile; got second or trained_px")
    if spec.backend == "hf_siglip" and layer in (-1, -2):
        # the released code reads SigLIP's last block but one whatever the key says
        layer = -2
    elif spec.backend != "hf_clip":
        found = f"{spec.backend} at layer {layer}"
        raise ValueError(f"encoder: the official layout holds CLIP, and SigLIP at layer -1 or -2; got {found}")
    elif isinstance(layer, tuple):
        features, layer = _named_states(layer, spec.layers)
    return {
        "mm_vision_tower": spec.weights or WRITTEN,
        "mm_vision_select_layer": layer,
        "mm_vision_select_feature": features,
        "mm_hidden_size": spec.width,
        "unfreeze_mm_vision_tower": True,
    }


def _named_states(states: tuple[int, ...], blocks: int) -> tuple[str, int]:
    """Return mm_vision_select_feature and mm_vision_select_layer of several hidden states."""
    if states == SLICE_M25811_F6:
        return "slice_m25811_f6_patch", -2
    for layer in range(-blocks - 1, blocks + 1):
        if slice_four(blocks + 1, layer) == states:
            return "slicefour_patch", layer
    raise ValueError(f"encoder: the official layout has no name for the hidden states {states}")


def _places(folder: Path, name: str) -> list[Path]:
    base = Path(name).name
    return [folder / name, folder / base, folder.parent / name, folder.parent / base, folder / WRITTEN]


def _beside(folder: Path, name: str) -> Path | None:
    """Return the folder that holds the tower's config: as named, within the checkpoint or next to it."""
    return next((place for place in _places(folder, name) if (place / "config.json").is_file()), None)


def _spec(
    config: Mapping[str, Any], raw: Mapping[str, Any], beside: Path | None, blocks: int, where: str
) -> EncoderSpec:
    mean, std = _colours(beside)
    layer = config.get("mm_vision_select_layer", -2)
    spec = encoder_spec(raw, layer=layer, mean=mean or CLIP_MEAN, std=std or CLIP_STD)
    states = _states(config.get("mm_vision_select_feature") or "patch", layer, spec, where)
    if spec.backend == "hf_clip":
        return replace(spec, layer=states)
    # the released code drops SigLIP's last block and reads the one before it, whatever mm_vision_select_layer says;
    # checkpoints are saved without the dropped block
    layer = -1 if blocks == spec.layers - 1 else -2
    layers = blocks if layer == -1 else spec.layers
    return replace(spec, layers=layers, layer=layer, mean=mean or SIGLIP_MEAN, std=std or SIGLIP_STD)


def _states(feature: str, layer: int, spec: EncoderSpec, where: str) -> int | tuple[int, ...]:
    """Return the hidden states that mm_vision_select_feature and mm_vision_select_layer name."""
    if feature.endswith("cls_patch"):
        raise ValueError(
            f"{where}: mm_vision_select_feature {feature!r} keeps the class token, which has no place in a grid of "
            "tokens; expected patch, slicefour_patch or slice_m25811_f6_patch"
        )
    if feature != "patch" and spec.backend != "hf_clip":
        raise ValueError(f"{where}: mm_vision_select_feature {feature!r} is read from CLIP towers only")
    if feature == "slicefour_patch":
        return slice_four(spec.layers + 1, layer)
    if feature == "slice_m25811_f6_patch":
        return SLICE_M25811_F6
    if feature != "patch":
        raise ValueError(
            f"{where}: mm_vision_select_feature {feature!r} is none of patch, slicefour_patch, slice_m25811_f6_patch"
        )
    return layer


def _colours(beside: Path | None) -> tuple[RGB | None, RGB | None]:
    if beside is None or not (beside / "preprocessor_config.json").is_file():
        return None, None
    settings = read_json(beside / "preprocessor_config.json")
    mean, std = settings.get("image_mean"), settings.get("image_std")
    return mean and (mean[0], mean[1], mean[2]), std and (std[0], std[1], std[2])
