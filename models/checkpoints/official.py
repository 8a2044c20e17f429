"""Read official LLaVA folders: the raw config.json decides, never AutoConfig, never a name.

Their model_type may say "llava", which transformers would take for its own class of that name. Text is tokenised as the
released code does it, each piece on its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoConfig

from models.checkpoints.ends import FASTER, NEWLINE, WORDS, stack_ends
from models.checkpoints.format import Checkpoint, read_json
from models.checkpoints.official_files import read_files
from models.checkpoints.official_settings import (
    Config,
    around_of,
    check_keys,
    check_tokens,
    grid_of,
    projector_of,
    several_of,
    video_of,
)
from models.checkpoints.official_tower import INSIDE, find_tower
from models.checkpoints.rename import Layout, rename
from models.checkpoints.template import template_name
from models.checkpoints.tensors import LazyTensors
from models.llms.build import llm_config, llm_spec
from models.llms.rope import unscale_rope
from models.spec import ModelSpec, ProjectorSpec

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


def is_official(config: Config) -> bool:
    """Tell whether a config.json is an official LLaVA checkpoint's."""
    return "mm_vision_tower" in config


def read_official(
    folder: Path, config: Config | None = None, extra: Mapping[str, Tensor] | None = None, pickles: bool = False
) -> Checkpoint:
    """Return the checkpoint of an official folder, its tower inside the weights or in a folder next to them.

    config: instead of the folder's config.json. extra: further tensors by official names, instead of the folder's own:
    with both, a plain language model's folder is read as the base that an adapter was trained on.
    pickles: as for read_tensors.

    Raises ValueError naming the key or file that is missing or not supported.
    """
    where = str(folder / "config.json")
    config = read_json(folder / "config.json") if config is None else config
    check_keys(config, where)
    files = read_files(folder, config, pickles)
    check_tokens(config, files.tokenizer, where)
    tensors = files.tensors.joined(extra or {})
    tower = find_tower(folder, config, tensors)
    projector = projector_of(config, tower.spec.width, where)
    named = _renamed(tensors, official_layout(projector)).joined(tower.tensors)
    _check_ends(config, named, where)
    ours: Mapping[str, Tensor] = stack_ends(named)
    own = config.get("anyres", {})
    rope_factor, rope_type = own.get("rope_factor", 1.0), own.get("rope_type", "linear")
    llm = llm_config(unscale_rope(_llm(config, where), rope_factor, rope_type))
    grid = grid_of(config, tower.spec, where)
    spec = ModelSpec(
        name=folder.name,
        encoder=tower.spec,
        projector=projector,
        llm=llm_spec(llm),
        grid=grid,
        video=video_of(config, tower.spec, where),
        template=own.get("template") or template_name(llm.model_type, files.tokenizer),
        tokenization=own.get("tokenization", "official"),
        several=several_of(config, grid, llm.model_type),
        around=around_of(config),
        times=bool(config.get("add_time_instruction")),
        rope_factor=rope_factor,
        rope_type=rope_type,
        dtype=str(ours[WORDS].dtype).removeprefix("torch."),
    )
    return Checkpoint(spec=spec, llm_config=llm.to_dict(), tokenizer=files.tokenizer, tensors=ours)


def official_layout(projector: ProjectorSpec) -> Layout:
    """Return which of the two official layouts a projector's tensors are named by."""
    return "official_linear" if projector.kind == "linear" else "official"


def _renamed(files: LazyTensors, layout: Layout) -> LazyTensors:
    # the tower has its own reader, since it may also lie elsewhere
    keys = [key for key in files if not key.startswith(INSIDE)]
    return files.renamed(rename(keys, layout, "anyres"))


def _check_ends(config: Config, named: Mapping[str, Tensor], where: str) -> None:
    merge = config.get("mm_patch_merge_type", "flat")
    if "unpad" in merge and NEWLINE not in named:
        raise ValueError(f"{where}: mm_patch_merge_type {merge!r}, but the weights have no model.image_newline")
    if config.get("add_faster_video") and FASTER not in named:
        raise ValueError(f"{where}: add_faster_video true, but the weights have no model.faster_token")
    if FASTER in named and NEWLINE not in named:
        raise ValueError(f"{where}: the weights have model.faster_token, but no model.image_newline")


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
