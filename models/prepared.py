"""One example, planned, tokenised and rendered: what a batch is joined from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from anyres.plan import VisualPlan
from models.prompt.positions import PromptPlan
from models.prompt.times import Times
from models.shapes import Settled
from video.plan import slots


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """One example, ready to be batched.

    looks: how each medium was looked at. pixels_NCHW: its tiles in uint8; the model normalises them as it encodes them.
    known: for each medium its packed tokens [T, D] where it was encoded before, and so has no tiles here, else None; or
    nothing. pack_first: see Batch; exact: whether packing first gives the same tokens. times: whether its clips are
    announced.
    """

    plans: tuple[VisualPlan, ...]
    looks: tuple[Settled, ...]
    prompt: PromptPlan
    pixels_NCHW: Tensor
    pack_first: bool
    exact: bool
    times: Times
    known: tuple[Tensor | None, ...] = ()

    @property
    def drawn(self) -> tuple[VisualPlan, ...]:
        """Return the plans of the media whose tiles are here, in order."""
        known = self.known or (None,) * len(self.plans)
        return tuple(plan for plan, tokens in zip(self.plans, known, strict=True) if tokens is None)

    @property
    def slots(self) -> tuple[tuple[int, ...], ...]:
        """Return the tokens behind each placeholder of each medium; several where a clip's frames are images."""
        return tuple(slots(plan, look.video) for plan, look in zip(self.plans, self.looks, strict=True))

    @property
    def num_visual(self) -> int:
        """Return the number of packed visual tokens."""
        return sum(plan.num_tokens for plan in self.plans)
