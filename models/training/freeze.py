"""Which parameters a stage moves: a part of the model is trained or frozen as a whole."""

from collections.abc import Collection

from torch import nn

from models.lmm import LMM
from models.training.stage import PARTS


def part_of(name: str) -> str:
    """Return the part ("encoder", "projector", "llm", "ends", "teacher") that a parameter's name belongs to."""
    head = name.split(".", 1)[0]
    part = "ends" if head == "ends_KD" else head
    if part not in PARTS:
        raise ValueError(f"parameter {name!r} belongs to none of the parts {PARTS}")
    return part


def named_parameters(model: LMM, teacher: nn.Module) -> dict[str, nn.Parameter]:
    """Return every parameter of the model and of the objective ("teacher.*") by name, ties once."""
    named = dict(model.named_parameters())
    return named | {f"teacher.{name}": parameter for name, parameter in teacher.named_parameters()}


def freeze_all_but(model: LMM, teacher: nn.Module, parts: Collection[str]) -> dict[str, nn.Parameter]:
    """Switch gradients on for the given parts and off elsewhere; return the parameters that move, by name."""
    moving = {}
    for name, parameter in named_parameters(model, teacher).items():
        parameter.requires_grad_(part_of(name) in parts)
        if parameter.requires_grad:
            moving[name] = parameter
    return moving
