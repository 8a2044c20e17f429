"""Modules without memory: parameters that have a shape and a dtype only, until their values are assigned."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Put every parameter of the modules that are built in here on the meta device.

    Buffers stay where they are made: those that no checkpoint holds (rotary frequencies, position ids) are computed.
    """
    handle = register_module_parameter_registration_hook(_to_meta)
    try:
        yield
    finally:
        handle.remove()


def _to_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
    # None: register it as it is, so that a tied one stays the same
    if parameter is None or parameter.is_meta:
        return None
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad)
