"""Load a reward model: a LoRA folder or a whole checkpoint, with the file reward_head beside it."""

from pathlib import Path

import torch
from torch import nn

from models.adapters.folder import adapter_folder
from models.build import load
from models.checkpoints.tensors import read_file
from models.reward.model import RewardModel

# the releases have the second one, a torch file
HEADS = ("reward_head.safetensors", "reward_head")


def load_reward(
    folder: str | Path,
    base: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    pickles: bool = False,
) -> RewardModel:
    """Return the reward model of a folder, in evaluation mode; its head is kept in float32.

    folder: holds reward_head.safetensors, or reward_head (a torch file), of weight [1, D] and bias [1], and either the
    adapter, in it or in a sub-folder adapter_model or lora_default, or a whole checkpoint. base: of the adapter,
    instead of the folder that its config names. device, dtype, pickles: as in `models.build.load`. Raises ValueError
    naming what is missing or does not fit.
    """
    place = Path(folder)
    adapter = adapter_folder(place)
    file = next(
        (where / name for name in HEADS for where in (place, adapter or place) if (where / name).is_file()), None
    )
    if file is None:
        raise ValueError(f"{place}: no reward model, expected a file {' or '.join(HEADS)} there")
    if base is not None and adapter is None:
        raise ValueError(f"{place}: a base ({base}) is for an adapter, and there is none in the folder")
    if base is None:
        lmm, processor = load(place, device=device, dtype=dtype, pickles=pickles)
    else:
        lmm, processor = load(base, device=device, dtype=dtype, adapter=place, pickles=pickles)
    head = _read_head(file, pickles, processor.spec.llm.hidden)
    return RewardModel(lmm, head.to(lmm.device), processor).eval()


def _read_head(file: Path, pickles: bool, hidden: int) -> nn.Linear:
    tensors = read_file(file, pickles)
    found = {key: list(tensors.what(key).shape) for key in tensors}
    if found != {"weight": [1, hidden], "bias": [1]}:
        raise ValueError(f"{file}: expected weight [1, {hidden}] and bias [1], got {found}")
    head = nn.Linear(hidden, 1)
    head.load_state_dict({key: tensors[key].float() for key in tensors})
    return head
