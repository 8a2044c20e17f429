"""One training stage as data: what is learned, which parts move and how fast, for how long.  Pure."""

from dataclasses import dataclass, field

PARTS = ("encoder", "projector", "llm", "ends", "teacher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Peak learning rates of one part: muon for its hidden matrices, adamw for the rest, or for all without muon."""

    adamw: float
    muon: float | None = None

    def __post_init__(self) -> None:
        if self.adamw <= 0 or (self.muon is not None and self.muon <= 0):
            raise ValueError(f"learning rates must be above 0, got adamw {self.adamw}, muon {self.muon}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """A stage of training.

    objective / data: names that the recipe resolves. parts: the parts that move (of PARTS) and their peak rates; a part
    that is not named is frozen. steps: optimiser steps. batch_tokens: decoder positions (or, for patch labels, tiles)
    a step holds at most. warmup: steps of linear warm-up. decay: share of the steps, at the end, of linear decay to 0.
    clip: gradient norm. rope_factors: linear position scales, one drawn per step. precision: "bfloat16" runs matrix
    products under autocast with float32 weights. compile: fuse the transformer blocks with torch.compile, which takes a
    minute to start. save_every / log_every: steps.
    """

    name: str
    objective: str
    data: str
    steps: int
    batch_tokens: int
    parts: dict[str, Rates] = field(default_factory=dict)
    warmup: int = 100
    decay: float = 0.3
    weight_decay: float = 0.0
    clip: float = 1.0
    rope_factors: tuple[float, ...] = (1.0,)
    precision: str = "bfloat16"
    compile: bool = False
    seed: int = 0
    save_every: int = 500
    log_every: int = 50

    def __post_init__(self) -> None:
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown or not self.parts:
            raise ValueError(f"stage {self.name!r}: parts must name some of {PARTS}, got {sorted(self.parts)}")
        if self.steps < 1 or self.batch_tokens < 1:
            raise ValueError(
                f"stage {self.name!r}: steps {self.steps} and batch_tokens {self.batch_tokens} must be >= 1"
            )
        if not 0 <= self.decay <= 1 or self.warmup < 0:
            raise ValueError(
                f"stage {self.name!r}: decay {self.decay} must lie in 0..1 and warmup {self.warmup} be >= 0"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"stage {self.name!r}: precision {self.precision!r}, expected float32 or bfloat16")

    def rate_factor(self, step: int) -> float:
        """Return the share of the peak rate at `step` (0-based): linear warm-up, hold, linear decay to 0."""
        up = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        tail = self.decay * self.steps
        down = min(1.0, (self.steps - step) / tail) if tail else 1.0
        return up * down
