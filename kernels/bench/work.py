"""What the clock times: one thing that several implementations do.

A kernel's benchmark is a function from a Setting to an iterator of Work, named in kernels.bench.suite. It checks every
implementation before it hands a Work out, and makes one at a time, so that one batch is in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and in which numbers to run. width: channels, where the kernel has any. cases: names, () for all."""

    device: str
    dtype: torch.dtype
    width: int
    cases: tuple[str, ...] = ()

    def wants(self, case: str) -> bool:
        """Return whether a case was asked for."""
        return not self.cases or case in self.cases

    @property
    def ours(self) -> str:
        """Return the name of this project's implementation on the device."""
        return "triton" if self.device == "cuda" else "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One row group of the results: implementations by name, checked, ready to be timed.

    direction: "forward", "backward" or what else the kernel does. shape: in words. moved_bytes: the floor, each number
    in need read once and each result written once. peer: the implementation that times are compared with.
    left_out: why peers are not among the calls.
    """

    kernel: str
    case: str
    direction: str
    width: int
    dtype: torch.dtype
    shape: str
    calls: dict[str, Callable[[], object]]
    moved_bytes: int
    peer: str
    left_out: tuple[str, ...] = ()
