"""How a llava-hf folder's processors frame a picture for the tower: which file says so, and what silence means."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from models.checkpoints.format import read_json
from models.checkpoints.tower import CLIP_MEAN, CLIP_STD, SIGLIP_MEAN, SIGLIP_STD
from models.encoders.spec import RGB

Settings = Mapping[str, Any]
Framing = Literal["squash", "crop", "pad"]

PROCESSOR, IMAGES, CLIPS = "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"

_CLIP = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}
_SIGLIP = {"size": {"height": 224, "width": 224}, "image_mean": SIGLIP_MEAN, "image_std": SIGLIP_STD}
_ONEVISION = {"size": {"height": 384, "width": 384}, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}
# what each of transformers' classes takes where the file is silent
_DEFAULTS: dict[str, Settings] = {
    "CLIPImageProcessor": _CLIP,
    "LlavaImageProcessor": _CLIP,
    "SiglipImageProcessor": _SIGLIP,
    "LlavaNextImageProcessor": _CLIP,
    "LlavaNextVideoVideoProcessor": _CLIP,
    "LlavaOnevisionImageProcessor": _ONEVISION,
    "LlavaOnevisionVideoProcessor": _ONEVISION,
}
# the class of a file that names none, or an older one
_IMAGE_CLASS = {
    "llava": "LlavaImageProcessor",
    "llava_next": "LlavaNextImageProcessor",
    "llava_next_video": "LlavaNextImageProcessor",
    "llava_onevision": "LlavaOnevisionImageProcessor",
}
_CLIP_CLASS = {
    "llava_next_video": "LlavaNextVideoVideoProcessor",
    "llava_onevision": "LlavaOnevisionVideoProcessor",
}
_FIXED = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3}


def image_settings(folder: Path, kind: str) -> Settings:
    """Return what the image processor of a folder of class `kind` does, its defaults included.

    Raises ValueError for a processor that is none of CLIP's, SigLIP's and LLaVA's, or that leaves a step out.
    """
    found, where = _first(folder, (PROCESSOR, "image_processor"), (IMAGES, None))
    own = _IMAGE_CLASS[kind]
    # other classes have one way to see an image, whatever their file calls it
    name = _plain(found.get("image_processor_type", own)) if kind == "llava" else own
    if name not in _DEFAULTS:
        raise ValueError(f"{where}: image_processor_type {name!r} is none of {', '.join(_DEFAULTS)}")
    settings = {**_DEFAULTS[name], **found}
    _check_steps(settings, where)
    if kind == "llava" and settings.get("do_pad") and name != "LlavaImageProcessor":
        raise ValueError(f"{where}: do_pad of a {name} is not the padding to a square of a LlavaImageProcessor")
    return settings


def clip_settings(folder: Path, kind: str) -> Settings:
    """Return what the video processor of a folder of class `kind` does; an old folder has one file for both."""
    found, where = _first(folder, (PROCESSOR, "video_processor"), (CLIPS, None), (IMAGES, None))
    settings = {**_DEFAULTS[_CLIP_CLASS[kind]], **found, "do_pad": False}
    _check_steps(settings, where)
    return settings


def colours(settings: Settings) -> tuple[RGB, RGB]:
    """Return the mean and standard deviation of the pixels."""
    mean, std = settings["image_mean"], settings["image_std"]
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def framing(settings: Settings, tile_px: int, where: str) -> Framing:
    """Return how a picture becomes one tile: padded to a square, squashed, or its centre cropped.

    Raises ValueError when the result is not of the tower's size.
    """
    size, crops = settings["size"], bool(settings.get("do_center_crop"))
    size = {"shortest_edge": size} if isinstance(size, int) else size
    square = "height" in size
    sides = list(size.values())
    if crops and not square:
        crop = settings["crop_size"]
        sides += [crop] if isinstance(crop, int) else [crop["height"], crop["width"]]
    pads = bool(settings.get("do_pad"))
    if set(sides) != {tile_px} or not (pads or square or crops):
        crop = f", crop_size {settings.get('crop_size')}" if crops else ", no crop"
        raise ValueError(f"{where}: size {size}{crop} do not give the tower's {tile_px}x{tile_px} pixels")
    if pads:
        return "pad"
    return "squash" if square else "crop"


def _first(folder: Path, *places: tuple[str, str | None]) -> tuple[Settings, str]:
    """Return the settings at the first place that has some, and its name; the last place's name when none has."""
    where = ""
    for file, key in places:
        where = str(folder / file)
        raw = read_json(folder / file) if (folder / file).is_file() else {}
        found = raw.get(key) if key else raw
        if found:
            return {name: value for name, value in found.items() if value is not None}, where
    return {}, where


def _plain(name: str) -> str:
    return name.removesuffix("Fast").removesuffix("Pil")


def _check_steps(settings: Settings, where: str) -> None:
    wrong = {key: settings[key] for key, value in _FIXED.items() if settings.get(key, value) != value}
    if wrong:
        raise ValueError(f"{where}: {wrong} is not supported, expected { ({key: _FIXED[key] for key in wrong}) }")
