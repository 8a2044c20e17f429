"""Optimisers of a stage: Muon for hidden matrices, AdamW for everything else, a rate per part."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from models.training.freeze import part_of
from models.training.stage import StageSpec

# matrices that are tables or outputs, not maps between hidden states
_NOT_HIDDEN = ("embed", "lm_head", "head.", "ends_KD", "position")


def build_optimizers(stage: StageSpec, moving: Mapping[str, nn.Parameter]) -> list[Optimizer]:
    """Return the stage's optimisers at their peak rates over the parameters that move."""
    adamw: list[dict[str, object]] = []
    muon: list[dict[str, object]] = []
    for part, rates in stage.parts.items():
        named = {name: parameter for name, parameter in moving.items() if part_of(name) == part}
        hidden = [p for name, p in named.items() if rates.muon is not None and is_hidden_matrix(name, p)]
        rest = [p for name, p in named.items() if rates.muon is None or not is_hidden_matrix(name, p)]
        if hidden:
            muon.append({"params": hidden, "lr": rates.muon, "peak": rates.muon})
        if rest:
            adamw.append({"params": rest, "lr": rates.adamw, "peak": rates.adamw})
    optimizers: list[Optimizer] = []
    if muon:
        optimizers.append(torch.optim.Muon(muon, lr=1.0, weight_decay=stage.weight_decay))
    if adamw:
        optimizers.append(torch.optim.AdamW(adamw, lr=1.0, betas=(0.9, 0.95), weight_decay=stage.weight_decay))
    return optimizers


def set_rates(optimizers: list[Optimizer], factor: float) -> None:
    """Set every group's rate to `factor` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Tell whether Muon may move this parameter: a matrix between hidden states."""
    return parameter.ndim == 2 and not any(part in name for part in _NOT_HIDDEN)
