"""Measure where the time of an answer goes, and the device's peak memory, by hooks on the model's parts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from models.lmm import LMM

MIB = 1 << 20


@dataclass(slots=True)
class Stopwatch:
    """Time what happens to `model` inside a `with` block, in seconds of wall time.

    encode: calls of the vision encoder. prefill: calls of the language model that read more than one position a row.
    decode: its other calls. peak_mib: most memory allocated on its CUDA device meanwhile, None elsewhere. On CUDA each
    call is waited for, so that its time is its own.
    """

    model: LMM
    encode: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    peak_mib: float | None = None
    _handles: list[RemovableHandle] = field(default_factory=list, init=False, repr=False)
    _start: float = field(default=0.0, init=False, repr=False)

    def __enter__(self) -> Stopwatch:
        encoder, llm = self.model.encoder, self.model.llm
        self._handles = [
            encoder.register_forward_pre_hook(self._begin),
            encoder.register_forward_hook(self._encoded),
            llm.register_forward_pre_hook(self._begin),
            # models.filling ends a call early
            llm.register_forward_hook(self._read, with_kwargs=True, always_call=True),
        ]
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self.model.device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        if self._cuda:
            self.peak_mib = torch.cuda.max_memory_allocated(self.model.device) / MIB

    @property
    def _cuda(self) -> bool:
        return self.model.device.type == "cuda"

    def _begin(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._start = self._now()

    def _encoded(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        self.encode += self._now() - self._start

    def _read(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: object) -> None:
        spent = self._now() - self._start
        embeds = named.get("inputs_embeds")
        read = embeds if embeds is not None else named.get("input_ids", inputs[0] if inputs else None)
        if read is not None and read.shape[1] > 1:
            self.prefill += spent
        else:
            self.decode += spent

    def _now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize(self.model.device)
        return time.perf_counter()
