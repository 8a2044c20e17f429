"""Notice logits that are no numbers: the text that follows from them would still look like an answer."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evals.protocol import NotFinite

if TYPE_CHECKING:
    from models.lmm import LMM


class Finite:
    """Watch the language model inside a `with` block, and raise NotFinite at its end if a next word had no number.

    -inf is how models forbid single words; only a row without any finite value counts, besides NaN and +inf.
    """

    def __init__(self, model: LMM, on: bool = True) -> None:
        self.model, self.on = model, on
        self._bad: torch.Tensor | None = None

    def __enter__(self) -> Finite:
        self._handle = self.model.llm.register_forward_hook(self._look) if self.on else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.remove()
        # one wait for the device, at the end
        if error is None and self._bad is not None and bool(self._bad):
            raise NotFinite("the model's logits are NaN or infinite; try float32 or bfloat16, or check the weights")

    def _look(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        logits_BV = output.logits[:, -1]
        bad = (logits_BV.isnan() | logits_BV.isposinf()).any() | logits_BV.isneginf().all(-1).any()
        self._bad = bad if self._bad is None else self._bad | bad.to(self._bad.device)
