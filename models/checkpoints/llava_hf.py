"""Read transformers' LLaVA-NeXT and LLaVA-NeXT-Video folders (llava-hf), as saved today and as hosted.

They are read with transformers' own choices (tie order, rounding, thin images, tokenising around a special token), so
that the same inputs give the same answers there and here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyres.grid import GridSpec
from models.checkpoints.ends import WORDS, stack_ends
from models.checkpoints.format import TOKENIZER, Checkpoint, read_json, read_tokenizer
from models.checkpoints.pinpoints import transformers_layouts
from models.checkpoints.rename import hf_layout, rename
from models.checkpoints.template import template_name
from models.checkpoints.tensors import read_tensors
from models.checkpoints.tower import CLIP_MEAN, CLIP_STD
from models.checkpoints.vocabulary import trimmed
from models.encoders.promise import encoder_spec
from models.encoders.spec import RGB, EncoderSpec
from models.llms.build import llm_config, llm_spec
from models.llms.rope import unscale_rope
from models.spec import ModelSpec, ProjectorSpec
from video.clip import VideoSpec

KINDS = ("llava_next", "llava_next_video")
# what transformers' config class takes where the file is silent
NEXT_PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
# the config holds no number of frames; 16 is what the release's image models were shown with
FRAMES = 16

Config = Mapping[str, Any]


def is_llava_hf(config: Config) -> bool:
    """Tell whether a config.json is transformers' own: it nests the configs of the two models."""
    return "vision_config" in config and "text_config" in config


def read_llava_hf(folder: Path) -> Checkpoint:
    """Return the checkpoint of a llava-hf folder. Raises ValueError naming the key that is missing or not supported."""
    config, where = read_json(folder / "config.json"), str(folder / "config.json")
    if config.get("model_type") not in KINDS:
        raise ValueError(f"{where}: model_type {config.get('model_type')!r} is none of {', '.join(KINDS)}")
    if config.get("projector_hidden_act", "gelu") != "gelu" or not config.get("multimodal_projector_bias", True):
        raise ValueError(f"{where}: expected a projector with biases and projector_hidden_act 'gelu'")
    tokenizer = read_tokenizer(folder / TOKENIZER)
    tensors = read_tensors(folder)
    ours: Mapping[str, Tensor] = stack_ends(tensors.renamed(rename(tensors, hf_layout(tensors), "anyres")))
    # a silent part is of the type that transformers' class takes
    raw_llm = {"model_type": "llama", **config["text_config"], "tie_word_embeddings": _tied(config)}
    written_here = config.get("anyres", {})
    if written_here:
        # without the rows that were added for <image>
        raw_llm, ours = trimmed(raw_llm, ours, written_here["vocab"])
        raw_llm = unscale_rope(raw_llm, written_here["rope_factor"])
    encoder = _encoder(folder, config, where)
    llm = llm_config(raw_llm)
    spec = ModelSpec(
        name=folder.name,
        encoder=encoder,
        projector=ProjectorSpec(kind="mlp2x_gelu", dim_in=encoder.width, dim_out=llm.hidden_size),
        llm=llm_spec(llm),
        grid=_grid(config, encoder, where),
        video=_video(config, encoder, where),
        template=written_here["template"] if written_here else template_name(llm.model_type, tokenizer),
        tokenization="transformers",
        rope_factor=written_here.get("rope_factor", 1.0),
        dtype=str(ours[WORDS].dtype).removeprefix("torch."),
    )
    return Checkpoint(spec=spec, llm_config=llm.to_dict(), tokenizer=tokenizer, tensors=ours)


def _tied(config: Config) -> bool:
    tied = bool(config.get("tie_word_embeddings", False))
    # transformers: only the video class looks into the language model's own config
    inner = bool(config["text_config"].get("tie_word_embeddings", False))
    return tied or (config["model_type"] == "llava_next_video" and inner)


def _encoder(folder: Path, config: Config, where: str) -> EncoderSpec:
    layer = config.get("vision_feature_layer", -2)
    if not isinstance(layer, int):
        raise ValueError(f"{where}: vision_feature_layer {layer!r}: one layer is supported")
    mean, std = _mean_and_std(folder)
    spec = encoder_spec({"model_type": "clip_vision_model", **config["vision_config"]}, layer=layer, mean=mean, std=std)
    strategy = config.get("vision_feature_select_strategy", "default")
    expected = "default" if spec.prefix_tokens else "full"
    if strategy != expected:
        raise ValueError(
            f"{where}: vision_feature_select_strategy {strategy!r} with a {spec.backend} tower, expected {expected!r}: "
            "CLIP has a class token to drop, SigLIP has none"
        )
    return spec


def _mean_and_std(folder: Path) -> tuple[RGB, RGB]:
    """Return the normalisation that the folder's image processor has; CLIP's, the class's own, where it is silent."""
    settings: Config = {}
    if (folder / "processor_config.json").is_file():
        settings = read_json(folder / "processor_config.json").get("image_processor", {})
    if not settings and (folder / "preprocessor_config.json").is_file():
        settings = read_json(folder / "preprocessor_config.json")
    mean, std = settings.get("image_mean", CLIP_MEAN), settings.get("image_std", CLIP_STD)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _grid(config: Config, encoder: EncoderSpec, where: str) -> GridSpec:
    raw = config.get("image_grid_pinpoints") or NEXT_PINPOINTS
    layouts, order = transformers_layouts(raw, encoder.tile_px, f"{where}: image_grid_pinpoints")
    return GridSpec(layouts=layouts, tie_order=order, rounding="transformers", thin="released")


def _video(config: Config, encoder: EncoderSpec, where: str) -> VideoSpec:
    mode, stride = config.get("spatial_pool_mode", "average"), config.get("spatial_pool_stride", 2)
    if mode != "average":
        raise ValueError(f"{where}: spatial_pool_mode {mode!r} is not supported, expected 'average'")
    return VideoSpec(
        num_frames=FRAMES,
        pool=stride,
        pool_mode="average",
        pool_before_projector=config["model_type"] == "llava_next_video",
        end="no_token",
        fit="crop" if encoder.backend == "hf_clip" else "squash",
    )
