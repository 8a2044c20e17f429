"""Which device each part of a model is on: all on one, or the language model's blocks over several by accelerate."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import nn

from models.lmm import LMM

LLM = "llm."

DeviceMap = Mapping[str, str | int | torch.device]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where parameters go. first: the device of tower, projector and end vectors, where batches belong.

    blocks: device of each module of the language model, by the start of its name; None when all is on `first`.
    """

    first: torch.device
    blocks: Mapping[str, torch.device] | None = None

    def device_of(self, key: str) -> torch.device:
        """Return where a parameter belongs."""
        if self.blocks is None or not key.startswith(LLM):
            return self.first
        name = key.removeprefix(LLM)
        # the longest start, as accelerate reads a map; "" is all
        start = max((s for s in self.blocks if s == "" or name == s or name.startswith(s + ".")), key=len)
        return self.blocks[start]


def place(model: LMM, device: torch.device, device_map: str | DeviceMap | None) -> Placement:
    """Return the placement of a model, which may be on the meta device.

    device_map: "auto" lets accelerate divide the language model by the memory that is free, after tower and projector
    on the first device; a dict names a device for each module of the language model ("model.layers.0": "cuda:0").

    Raises ValueError when accelerate is not installed, a map leaves a parameter out, or the model does not fit.
    """
    if device_map is None:
        return Placement(first=device)
    if find_spec("accelerate") is None:
        raise ValueError(
            "device_map needs the package accelerate, which is not installed: pip install 'anyres[accelerate]'"
        )
    raw = _auto(model) if device_map == "auto" else device_map
    if isinstance(raw, str):
        raise ValueError(f"device_map {raw!r} is neither 'auto' nor a dict")
    if "disk" in raw.values():
        raise ValueError("device_map: the model does not fit into the memory of the devices and of the machine")
    blocks = {name: torch.device(value) for name, value in raw.items()}
    _check(model.llm, blocks)
    first = next((found for found in blocks.values() if found.type != "cpu"), torch.device("cpu"))
    return Placement(first=first, blocks=blocks)


def dispatch(model: LMM, placement: Placement) -> None:
    """Move what is left to its device; let each block fetch its inputs to where it is."""
    if placement.blocks is None:
        model.to(placement.first)
        return
    from accelerate import dispatch_model

    model.encoder.to(placement.first)
    model.projector.to(placement.first)
    model.ends_KD.data = model.ends_KD.data.to(placement.first)
    dispatch_model(model.llm, dict(placement.blocks), main_device=placement.first)


def _auto(model: LMM) -> DeviceMap:
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory, get_max_memory

    free = get_max_memory()
    first = next(iter(free))
    taken = sum(p.nbytes for part in (model.encoder, model.projector) for p in part.parameters())
    free[first] = max(0, free[first] - taken)
    # modules that transformers declares as one piece
    whole = list(model.llm._no_split_modules or ())
    balanced = get_balanced_memory(model.llm, free, no_split_module_classes=whole, dtype=model.dtype)
    return infer_auto_device_map(model.llm, balanced, no_split_module_classes=whole, dtype=model.dtype)


def _check(llm: nn.Module, blocks: Mapping[str, torch.device]) -> None:
    names = [name for name, _ in llm.named_parameters(remove_duplicate=False)]
    lost = [n for n in names if not any(s == "" or n == s or n.startswith(s + ".") for s in blocks)]
    if lost:
        raise ValueError(f"device_map: no device for {len(lost)} parameters of the language model: {lost[:3]}")
