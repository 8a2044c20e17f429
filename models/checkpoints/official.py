"""Read official LLaVA-NeXT folders: the raw config.json decides, never AutoConfig, never a name.

Their model_type may say "llava", which transformers would take for its own class of that name. The plan settings are
the released code's: its tie order and rounding, its tokenising of each piece of text on its own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoConfig

from anyres.grid import GridSpec
from models.checkpoints.ends import WORDS, stack_ends
from models.checkpoints.format import Checkpoint, read_json
from models.checkpoints.official_tower import INSIDE, find_tower
from models.checkpoints.pinpoints import layouts
from models.checkpoints.rename import Layout, rename
from models.checkpoints.template import template_name
from models.checkpoints.tensors import LazyTensors, read_tensors
from models.checkpoints.tokenizer import find_tokenizer
from models.encoders.spec import EncoderSpec
from models.llms.build import llm_config, llm_spec
from models.llms.rope import unscale_rope
from models.projectors.build import DEPTHS
from models.spec import ModelSpec, ProjectorSpec
from video.clip import VideoSpec

# the language model of each official class and model_type
LLMS = {
    "LlavaLlamaForCausalLM": "llama",
    "LlavaMistralForCausalLM": "mistral",
    "LlavaMixtralForCausalLM": "mixtral",
    "LlavaQwenForCausalLM": "qwen2",
    "LlavaQwenMoeForCausalLM": "qwen2_moe",
    "LlavaGemmaForCausalLM": "gemma",
    "llava_llama": "llama",
    "llava_mistral": "mistral",
    "llava_mixtral": "mixtral",
    "llava_qwen": "qwen2",
    "llava_qwen_moe": "qwen2_moe",
    "llava_gemma": "gemma",
}
# only this family's official class honours rope_scaling, the others clear it
SCALED = ("llama",)
FRAMES = 16

Config = Mapping[str, Any]


def is_official(config: Config) -> bool:
    """Tell whether a config.json is an official LLaVA checkpoint's."""
    return "mm_vision_tower" in config


def read_official(folder: Path) -> Checkpoint:
    """Return the checkpoint of an official folder, its tower inside the weights or in a folder next to them.

    Raises ValueError naming the key or file that is missing or not supported.
    """
    config, where = read_json(folder / "config.json"), str(folder / "config.json")
    _refuse(config, where)
    files = read_tensors(folder)
    tower = find_tower(folder, config, files)
    projector = _projector(config, tower.spec.width, config["hidden_size"], where)
    ours: Mapping[str, Tensor] = stack_ends(_renamed(files, official_layout(projector)).joined(tower.tensors))
    tokenizer = find_tokenizer(folder)
    written_here = config.get("anyres", {})
    llm = llm_config(unscale_rope(_llm(config, where), written_here.get("rope_factor", 1.0)))
    grid = grid_of(config, tower.spec, where)
    spec = ModelSpec(
        name=folder.name,
        encoder=tower.spec,
        projector=projector,
        llm=llm_spec(llm),
        grid=grid,
        video=video_of(config, tower.spec, where),
        template=written_here["template"] if written_here else template_name(llm.model_type, tokenizer),
        rope_factor=written_here.get("rope_factor", 1.0),
        # the release that caps tiles (anyres_max) pads images that share a prompt
        several="pad" if grid.target_tiles is not None else "grid",
        dtype=str(ours[WORDS].dtype).removeprefix("torch."),
    )
    return Checkpoint(spec=spec, llm_config=llm.to_dict(), tokenizer=tokenizer, tensors=ours)


def official_layout(projector: ProjectorSpec) -> Layout:
    """Return which of the two official layouts a projector's tensors are named by."""
    return "official_linear" if projector.kind == "linear" else "official"


def _renamed(files: LazyTensors, layout: Layout) -> LazyTensors:
    # the tower has its own reader, since it may also lie elsewhere
    keys = [key for key in files if not key.startswith(INSIDE)]
    return files.renamed(rename(keys, layout, "anyres"))


def _refuse(config: Config, where: str) -> None:
    """Raise ValueError for switches of the official code that change what the model reads and have no place here."""
    for key in ("mm_use_im_start_end", "mm_use_im_patch_token", "add_faster_video"):
        if config.get(key):
            raise ValueError(f"{where}: {key} true is not supported")
    if config.get("mm_resampler_type") not in (None, "spatial_pool"):
        raise ValueError(f"{where}: mm_resampler_type {config['mm_resampler_type']!r} is none of null, spatial_pool")


def _llm(config: Config, where: str) -> dict[str, Any]:
    names = [*config.get("architectures", []), config.get("model_type")]
    kind = next((LLMS[name] for name in names if name in LLMS), None)
    if kind is None:
        raise ValueError(
            f"{where}: architectures and model_type {names} name no known language model: {', '.join(LLMS)}"
        )
    known = {*AutoConfig.for_model(kind).to_dict(), "rope_theta", "rope_scaling"}
    raw = {key: value for key, value in config.items() if key in known} | {"model_type": kind}
    if kind not in SCALED:
        raw.pop("rope_scaling", None)
    for key in ("architectures", "transformers_version", "dtype", "torch_dtype", "_name_or_path"):
        raw.pop(key, None)
    return raw


def _projector(config: Config, dim_in: int, dim_out: int, where: str) -> ProjectorSpec:
    kind = config.get("mm_projector_type", "linear")
    if kind not in DEPTHS:
        raise ValueError(f"{where}: mm_projector_type {kind!r} is none of {', '.join(DEPTHS)}")
    if config.get("mm_hidden_size", dim_in) != dim_in:
        raise ValueError(f"{where}: mm_hidden_size {config['mm_hidden_size']}, but the vision tower is {dim_in} wide")
    return ProjectorSpec(kind=kind, dim_in=dim_in, dim_out=dim_out)


def grid_of(config: Config, encoder: EncoderSpec, where: str) -> GridSpec:
    """Return how the released code tiles an image and merges its tokens, thin images included."""
    aspect, merge = config.get("image_aspect_ratio") or "square", config.get("mm_patch_merge_type", "flat")
    base = "none" if merge.endswith("_nobase") else "squash"
    kind = merge.removesuffix("_nobase")
    if kind not in ("flat", "spatial", "spatial_unpad"):
        raise ValueError(f"{where}: mm_patch_merge_type {merge!r} is none of flat, spatial, spatial_unpad (_nobase)")
    if aspect == "pad":
        return GridSpec(overview="pad", merge=kind)
    if aspect == "square":
        # each processor's own resizing: CLIP's crops the centre
        return GridSpec(overview="crop" if encoder.backend == "hf_clip" else "squash", merge=kind)
    found = re.fullmatch(r"anyres(?:_max_(\d+))?", aspect)
    if found is None:
        raise ValueError(f"{where}: image_aspect_ratio {aspect!r} is none of pad, square, anyres, anyres_max_N")
    grids = layouts(config.get("image_grid_pinpoints") or (), encoder.tile_px, f"{where}: image_grid_pinpoints")
    target = int(found.group(1)) if found.group(1) and kind == "spatial_unpad" else None
    thin = config["anyres"]["thin"] if "anyres" in config else "released"
    return GridSpec(layouts=grids, overview=base, merge=kind, target_tiles=target, thin=thin)


def video_of(config: Config, encoder: EncoderSpec, where: str) -> VideoSpec:
    """Return how the released code pools and closes frames."""
    pooled_first = config.get("mm_resampler_type") == "spatial_pool"
    mode = config.get("mm_spatial_pool_mode", "average" if pooled_first else "bilinear")
    if mode not in ("average", "bilinear"):
        raise ValueError(f"{where}: mm_spatial_pool_mode {mode!r} is none of average, bilinear")
    merge = config.get("mm_patch_merge_type", "flat")
    # a config without the key means one vector after the clip; merged flat or pooled first there is none
    end = config.get("mm_newline_position", "one_token")
    if pooled_first or merge == "flat" or (end == "one_token" and "unpad" not in merge):
        end = "no_token"
    if end not in ("grid", "frame", "one_token", "no_token"):
        raise ValueError(f"{where}: mm_newline_position {end!r} is none of grid, frame, one_token, no_token")
    return VideoSpec(
        num_frames=config.get("frames_upbound") or FRAMES,
        pool=config.get("mm_spatial_pool_stride", 2),
        pool_mode=mode,
        pool_before_projector=pooled_first,
        end=end,
        fit="crop" if encoder.backend == "hf_clip" else "squash",
    )
