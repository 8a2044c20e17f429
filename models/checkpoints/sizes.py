"""Sizes that a config promises, checked against the weights before anything of that size is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.checkpoints.ends import WORDS
from models.checkpoints.format import Checkpoint
from models.checkpoints.tensors import LazyTensors, lazily

# tokens a side of one tile: position tables are built for their square
MOST_TOKENS = 256
# keys of language models' configs that are sides of their tensors
SIDES = (
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_experts",
    "num_local_experts",
)


def check_sizes(checkpoint: Checkpoint, folder: Path) -> None:
    """Raise ValueError where a config asks for more than its weights hold.

    Number of blocks, sides of tensors, words and positions of a tile are compared with the names and shapes in the
    files' headers, so that a small folder cannot ask for much memory or time.
    """
    spec, config, tensors = checkpoint.spec, checkpoint.llm_config, lazily(checkpoint.tensors)
    _check_blocks("the vision tower", spec.encoder.layers, tensors, folder)
    _check_blocks("the language model", config.get("num_hidden_layers", spec.llm.layers), tensors, folder)
    if spec.encoder.tile.tok > MOST_TOKENS:
        raise ValueError(f"{folder}: a tile of {spec.encoder.tile.tok} tokens a side, expected at most {MOST_TOKENS}")
    longest = max((side for key in tensors for side in tensors.what(key).shape), default=0)
    asked = {key: config[key] for key in SIDES if config.get(key) is not None}
    asked |= {"encoder.dim": spec.encoder.dim, "encoder.mlp": spec.encoder.mlp}
    for key, side in asked.items():
        if type(side) is not int or not 0 <= side <= longest:
            raise ValueError(f"{folder}: weights do not fit: {key} {side!r}, and no tensor has a side above {longest}")
    _check_words(config, tensors, folder)


def _check_blocks(what: str, count: Any, tensors: LazyTensors, folder: Path) -> None:
    # a block has at least one tensor
    if type(count) is not int or not 0 <= count <= len(tensors):
        raise ValueError(f"{folder}: {what} has {count!r} blocks by its config, of {len(tensors)} tensors in all")


def _check_words(config: Mapping[str, Any], tensors: LazyTensors, folder: Path) -> None:
    # missing tensors are named when the model is filled
    if WORDS not in tensors or "vocab_size" not in config or "hidden_size" not in config:
        return
    expected, found = [config["vocab_size"], config["hidden_size"]], list(tensors.what(WORDS).shape)
    if found != expected:
        raise ValueError(f"{folder}: weights do not fit: {WORDS} is {found}, expected {expected}")
