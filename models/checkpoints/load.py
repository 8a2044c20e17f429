"""Tell a folder's layout, read it, and fill a model with its weights."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from conf.nearest import near
from models.adapters.folder import Adapter, adapter_folder, base_folder, read_adapter
from models.adapters.merge import merged
from models.checkpoints.ends import WORDS
from models.checkpoints.format import SPEC, Checkpoint, is_run_folder, read_json, read_run
from models.checkpoints.llava_hf import is_llava_hf, read_llava_hf
from models.checkpoints.official import is_official, read_official
from models.checkpoints.over import is_over, read_over
from models.checkpoints.shipped import SHIPPED
from models.checkpoints.vocabulary import HEAD
from models.lmm import LMM

READERS: dict[str, Callable[[Path, bool], Checkpoint]] = {
    "anyres": read_run,
    "anyres-over": read_over,
    "llava-hf": read_llava_hf,
    "official": lambda folder, pickles: read_official(folder, pickles=pickles),
}


def read_checkpoint(folder: Path, adapter: Path | None = None, pickles: bool = False) -> Checkpoint:
    """Return the checkpoint of a folder, its layout told by the files and keys in it, never by its name.

    adapter: a LoRA folder to merge into it. A LoRA folder in place of `folder` is merged into the local folder that its
    config names as its base. pickles: read torch files too, with weights_only, which makes tensors and nothing else; by
    default they are refused unread. Raises ValueError listing what was looked for when no layout fits.
    """
    if adapter is not None:
        found = read_adapter(adapter, pickles)
        return merged(_read_base(folder, found, pickles), found)
    if adapter_folder(folder) is not None:
        return read_checkpoint(base_folder(folder), folder, pickles)
    return READERS[layout_of(folder)](folder, pickles)


def layout_of(folder: Path) -> str:
    """Return the name in READERS of a folder's layout. Raises ValueError listing what was looked for when none fits."""
    if not folder.is_dir():
        hint = near(str(folder), list(SHIPPED))
        raise ValueError(
            f"{folder}: no such folder{f', {hint}' if hint else ''} (checkpoints are local folders; nothing is "
            "downloaded). A preset has no weights: anyres-plan prices it, and anyres-ablate with plan_only=true"
        )
    if is_run_folder(folder):
        return "anyres-over" if is_over(folder) else "anyres"
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if is_llava_hf(config):
        return "llava-hf"
    if is_official(config):
        return "official"
    found = f"config.json with {', '.join(sorted(config)[:8])}" if config else "no config.json"
    raise ValueError(
        f"{folder}: unknown layout. Looked for {SPEC} (a run folder), a config.json with vision_config and text_config "
        f"(llava-hf), a config.json with mm_vision_tower (an official LLaVA folder); found {found}"
    )


def _read_base(folder: Path, adapter: Adapter, pickles: bool) -> Checkpoint:
    """Return what an adapter is merged into; an adapter with an official config.json has the say over its base's."""
    plain = (folder / "config.json").is_file() and not is_llava_hf(read_json(folder / "config.json"))
    if is_official(adapter.model_config) and plain and not is_run_folder(folder):
        return read_official(folder, adapter.model_config, adapter.whole, pickles)
    return READERS[layout_of(folder)](folder, pickles)


@torch.no_grad()
def fill(
    model: LMM,
    tensors: Mapping[str, Tensor],
    device_of: Callable[[str], torch.device],
    filled: Callable[[str], None] | None = None,
) -> None:
    """Give a model a checkpoint's tensors, one at a time, in the dtypes that its parameters have.

    device_of: where a parameter of that name belongs. filled: called with the name of each module whose own parameters
    are all there. Raises ValueError naming tensors that are missing, left over, or of another shape.
    """
    state = model.state_dict()
    tied = model.llm.config.tie_word_embeddings
    wanted = {key for key in state if not (tied and key == HEAD)}
    given = {key for key in tensors if not (tied and key == HEAD)}
    if wanted != given:
        missing, extra = sorted(wanted - given), sorted(given - wanted)
        raise ValueError(f"weights do not fit: {_some(missing)} missing, {_some(extra)} left over")
    # in the order of the files
    for key in (key for key in tensors if key in wanted):
        tensor = tensors[key]
        if tensor.shape != state[key].shape:
            raise ValueError(f"weights do not fit: {key} is {list(tensor.shape)}, expected {list(state[key].shape)}")
        tensor = tensor.to(device_of(key), state[key].dtype)
        _assign(model, key, tensor)
        # before the next one is read
        del tensor
        owner = key.rpartition(".")[0]
        if filled and not any(parameter.is_meta for parameter in model.get_submodule(owner).parameters(recurse=False)):
            filled(owner)
    model.llm.tie_weights()
    if tied and HEAD in tensors and not torch.equal(tensors[HEAD], tensors[WORDS]):
        raise ValueError(f"weights do not fit: the config ties {HEAD} to {WORDS}, but the two differ")


def _assign(model: nn.Module, key: str, tensor: Tensor) -> None:
    owner, _, name = key.rpartition(".")
    module = model.get_submodule(owner)
    if name in dict(module.named_buffers(recurse=False)):
        module.get_buffer(name).copy_(tensor)
    else:
        trained = module.get_parameter(name).requires_grad
        setattr(module, name, nn.Parameter(tensor, requires_grad=trained))


def _some(keys: list[str]) -> str:
    return f"{len(keys)} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else "none"
