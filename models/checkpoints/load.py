"""Tell a folder's layout, read it, and fill a model with its weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.ends import WORDS
from models.checkpoints.format import SPEC, Checkpoint, is_run_folder, read_json, read_run
from models.checkpoints.llava_hf import is_llava_hf, read_llava_hf
from models.checkpoints.official import is_official, read_official
from models.checkpoints.vocabulary import HEAD
from models.lmm import LMM


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint of a folder, its layout told by the files and keys in it, never by its name.

    Raises ValueError listing what was looked for when no layout fits.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder (checkpoints are local folders; nothing is downloaded)")
    if is_run_folder(folder):
        return read_run(folder)
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if is_llava_hf(config):
        return read_llava_hf(folder)
    if is_official(config):
        return read_official(folder)
    found = f"config.json with {', '.join(sorted(config)[:8])}" if config else "no config.json"
    raise ValueError(
        f"{folder}: unknown layout. Looked for {SPEC} (a run folder), a config.json with vision_config and text_config "
        f"(llava-hf), a config.json with mm_vision_tower (official LLaVA-NeXT); found {found}"
    )


@torch.no_grad()
def fill(model: LMM, tensors: Mapping[str, Tensor]) -> None:
    """Copy a checkpoint's tensors into a model, one at a time, in the model's dtype.

    Raises ValueError naming tensors that are missing, left over, or of another shape.
    """
    state = model.state_dict()
    tied = model.llm.config.tie_word_embeddings
    wanted = {key for key in state if not (tied and key == HEAD)}
    given = {key for key in tensors if not (tied and key == HEAD)}
    if wanted != given:
        missing, extra = sorted(wanted - given), sorted(given - wanted)
        raise ValueError(f"weights do not fit: {_some(missing)} missing, {_some(extra)} left over")
    for key in sorted(wanted):
        tensor = tensors[key]
        if tensor.shape != state[key].shape:
            raise ValueError(f"weights do not fit: {key} is {list(tensor.shape)}, expected {list(state[key].shape)}")
        state[key].copy_(tensor)
    if tied and HEAD in tensors and not torch.equal(tensors[HEAD], tensors[WORDS]):
        raise ValueError(f"weights do not fit: the config ties {HEAD} to {WORDS}, but the two differ")


def _some(keys: list[str]) -> str:
    return f"{len(keys)} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else "none"
