"""Read transformers' folders of the LLaVA classes (llava-hf), as saved today and as hosted.

They are read with transformers' own choices (tie order, rounding, thin images, tokenising around a special token), so
that the same inputs give the same answers there and here. LLaVA-1.5's class shows each image whole, as its processor
frames it: the official padding to a square is do_pad there, and off by default.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from anyres.grid import GridSpec
from conf.build import build
from models.checkpoints.ends import WORDS, stack_ends
from models.checkpoints.format import TOKENIZER, Checkpoint, read_json, read_tokenizer
from models.checkpoints.llava_hf_frames import PROCESSOR, clip_settings, colours, framing, image_settings
from models.checkpoints.pinpoints import transformers_layouts
from models.checkpoints.rename import hf_layout, rename
from models.checkpoints.template import template_name
from models.checkpoints.tensors import read_tensors
from models.checkpoints.vocabulary import trimmed
from models.encoders.promise import encoder_spec
from models.encoders.spec import EncoderSpec
from models.llms.build import llm_config, llm_spec
from models.llms.rope import unscale_rope
from models.spec import ModelSpec, ProjectorSpec
from video.clip import VideoSpec

KINDS = ("llava", "llava_next", "llava_next_video", "llava_onevision")
# what transformers' config class takes where the file is silent
NEXT_PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
ONEVISION_PINPOINTS = [[384 * rows, 384 * cols] for rows in range(1, 7) for cols in range(1, 7)]
# the configs hold no number of frames; these are what the releases were shown with
FRAMES, ONEVISION_FRAMES = 16, 32
# what transformers' config classes take where the file is silent: tower, language model, layer, features
DEFAULTS = {
    **dict.fromkeys(KINDS, ("clip_vision_model", "llama", -2, "default")),
    "llava_onevision": ("siglip_vision_model", "qwen2", -1, "full"),
}

ASPECT_PREFIX, ONEVISION_ASPECT = "anyres_max_", "anyres_max_9"
# classes that know images only
WITHOUT_CLIPS = ("llava", "llava_next")
POOL_MODES = ("average", "max")

Config = Mapping[str, Any]


def is_llava_hf(config: Config) -> bool:
    """Tell whether a config.json is transformers' own: it nests the configs of the two models."""
    return "vision_config" in config and "text_config" in config


def read_llava_hf(folder: Path, pickles: bool = False) -> Checkpoint:
    """Return the checkpoint of a llava-hf folder. Raises ValueError naming the key that is missing or not supported.

    pickles: as for read_tensors.
    """
    config, where = read_json(folder / "config.json"), str(folder / "config.json")
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ValueError(f"{where}: model_type {kind!r} is none of {', '.join(KINDS)}")
    if config.get("projector_hidden_act", "gelu") != "gelu" or not config.get("multimodal_projector_bias", True):
        raise ValueError(f"{where}: expected a projector with biases and projector_hidden_act 'gelu'")
    tokenizer = read_tokenizer(folder / TOKENIZER)
    tensors = read_tensors(folder, pickles)
    ours: Mapping[str, Tensor] = stack_ends(tensors.renamed(rename(tensors, hf_layout(tensors), "anyres")))
    # a silent part is of the type that transformers' class takes
    raw_llm = {"model_type": DEFAULTS[kind][1], **config["text_config"], "tie_word_embeddings": _tied(config)}
    written_here = config.get("anyres", {})
    if written_here:
        # without the rows that were added for <image>
        raw_llm, ours = trimmed(raw_llm, ours, written_here["vocab"])
        raw_llm = unscale_rope(raw_llm, written_here["rope_factor"], written_here.get("rope_type", "linear"))
    encoder = _encoder(folder, config, where)
    llm = llm_config(raw_llm)
    spec = ModelSpec(
        name=folder.name,
        encoder=encoder,
        projector=ProjectorSpec(kind="mlp2x_gelu", dim_in=encoder.width, dim_out=llm.hidden_size),
        llm=llm_spec(llm),
        grid=_grid(folder, config, encoder, where),
        video=_video(folder, config, encoder, where),
        template=written_here["template"] if written_here else template_name(llm.model_type, tokenizer),
        tokenization="transformers",
        several="pad" if kind == "llava_onevision" else "grid",
        around=_around(written_here),
        times=written_here.get("times", False),
        rope_factor=written_here.get("rope_factor", 1.0),
        rope_type=written_here.get("rope_type", "linear"),
        dtype=str(ours[WORDS].dtype).removeprefix("torch."),
    )
    return Checkpoint(spec=spec, llm_config=llm.to_dict(), tokenizer=tokenizer, tensors=ours)


def _tied(config: Config) -> bool:
    tied = bool(config.get("tie_word_embeddings", False))
    # transformers: only the class of LLaVA-NeXT does not look into the language model's own config
    inner = bool(config["text_config"].get("tie_word_embeddings", False))
    return tied or (config["model_type"] != "llava_next" and inner)


def _around(written_here: Config) -> tuple[str, str]:
    before, behind = written_here.get("around", ("", ""))
    return before, behind


def _encoder(folder: Path, config: Config, where: str) -> EncoderSpec:
    kind = config["model_type"]
    tower, _, default_layer, default_strategy = DEFAULTS[kind]
    layer = config.get("vision_feature_layer", default_layer)
    layer = layer if isinstance(layer, int) else tuple(layer)
    mean, std = colours(image_settings(folder, kind))
    spec = encoder_spec({"model_type": tower, **config["vision_config"]}, layer=layer, mean=mean, std=std)
    strategy = config.get("vision_feature_select_strategy", default_strategy)
    expected = "default" if spec.prefix_tokens else "full"
    if strategy != expected:
        raise ValueError(
            f"{where}: vision_feature_select_strategy {strategy!r} with a {spec.backend} tower, expected {expected!r}: "
            "CLIP has a class token to drop, SigLIP has none"
        )
    return spec


def _grid(folder: Path, config: Config, encoder: EncoderSpec, where: str) -> GridSpec:
    kind = config["model_type"]
    if kind == "llava":
        overview = framing(image_settings(folder, kind), encoder.tile_px, f"{folder}: image processor")
        return GridSpec(overview=overview, merge="flat", thin="released")
    raw = config.get("image_grid_pinpoints") or (ONEVISION_PINPOINTS if kind == "llava_onevision" else NEXT_PINPOINTS)
    layouts, order = transformers_layouts(raw, encoder.tile_px, f"{where}: image_grid_pinpoints")
    return GridSpec(
        layouts=layouts,
        target_tiles=_target_tiles(folder, config, where) if kind == "llava_onevision" else None,
        tie_order=order,
        rounding="transformers",
        thin="released",
    )


def _target_tiles(folder: Path, config: Config, where: str) -> int:
    """Return N of "anyres_max_N", which model and processor each have in a file of their own."""
    aspect = config.get("vision_aspect_ratio", ONEVISION_ASPECT)
    number = str(aspect).removeprefix(ASPECT_PREFIX)
    if not number.isdecimal():
        raise ValueError(f"{where}: vision_aspect_ratio {aspect!r}, expected '{ASPECT_PREFIX}N'")
    processor = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    counted = processor.get("vision_aspect_ratio", ONEVISION_ASPECT)
    if counted != aspect:
        raise ValueError(f"{where}: vision_aspect_ratio {aspect!r}, but the processor counts tokens for {counted!r}")
    return int(number)


def _video(folder: Path, config: Config, encoder: EncoderSpec, where: str) -> VideoSpec:
    kind, written_here = config["model_type"], config.get("anyres", {})
    recorded = build(VideoSpec, written_here["video"], f"{where}: anyres.video") if "video" in written_here else None
    if kind in WITHOUT_CLIPS:
        return recorded or _foreign_clips(folder, config, encoder)
    settings = clip_settings(folder, kind)
    if colours(settings) != (encoder.mean, encoder.std):
        raise ValueError(f"{folder}: the video processor normalises by {colours(settings)}, images are by other values")
    fit = framing(settings, encoder.tile_px, f"{folder}: video processor")
    # which frames are read is nothing that transformers' files say
    chosen = recorded or VideoSpec(num_frames=ONEVISION_FRAMES if kind == "llava_onevision" else FRAMES)
    if kind == "llava_onevision":
        return replace(chosen, pool=2, pool_mode="bilinear", end="one_token", fit=fit)
    mode, stride = config.get("spatial_pool_mode", "average"), config.get("spatial_pool_stride", 2)
    if mode not in POOL_MODES:
        raise ValueError(f"{where}: spatial_pool_mode {mode!r} is not supported, expected {' or '.join(POOL_MODES)}")
    return replace(chosen, pool=stride, pool_mode=mode, pool_before_projector=True, end="no_token", fit=fit)


def _foreign_clips(folder: Path, config: Config, encoder: EncoderSpec) -> VideoSpec:
    """Return how clips are shown to a class that knows images only: LLaVA's frames are images, LLaVA-NeXT's pooled."""
    if config["model_type"] == "llava":
        fit = framing(image_settings(folder, "llava"), encoder.tile_px, f"{folder}: image processor")
        return VideoSpec(num_frames=FRAMES, pool=1, pool_mode="none", end="no_token", fit=fit)
    fit = "crop" if encoder.backend == "hf_clip" else "squash"
    return VideoSpec(num_frames=FRAMES, pool=2, pool_mode="average", end="no_token", fit=fit)
