"""Rotary angles: frequencies under a scaling rule, and the tables of their cosines and sines.

Legend: B rows, L positions, R = half of the rotated channels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

RopeKind = Literal["default", "linear", "dynamic", "yarn", "llama3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSpec:
    """How positions become angles; names as in transformers' rope_parameters.

    kind: "default"; "linear", positions divided by `factor`; "dynamic", the base grows once a sequence is longer than
    `trained`; "yarn", slow frequencies divided by `factor`, fast ones kept; "llama3", the same by wavelength. width:
    rotated channels of a head, even. trained: positions that the model was trained with, for the last three.
    """

    kind: RopeKind = "default"
    theta: float
    width: int
    factor: float = 1.0
    trained: int | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2:
            raise ValueError(f"rope: expected an even number of rotated channels, found {self.width}")
        if self.kind not in FREQUENCIES:
            raise ValueError(f"rope: expected a kind of {', '.join(FREQUENCIES)}, found {self.kind!r}")
        if self.kind in ("dynamic", "yarn", "llama3") and not self.trained:
            raise ValueError(f"rope: kind {self.kind!r} needs the positions that the model was trained with")
        if self.factor < 1:
            raise ValueError(f"rope: expected a factor of at least 1, found {self.factor}")

    @property
    def amplitude(self) -> float:
        """Return what cosines and sines are multiplied by: yarn sharpens attention, the others do not."""
        if self.attention_factor is not None:
            return self.attention_factor
        return 0.1 * math.log(self.factor) + 1.0 if self.kind == "yarn" and self.factor > 1 else 1.0


def frequencies(spec: RopeSpec, length: int = 0) -> Tensor:
    """Return radians per position, float32 [R], on the CPU. length: of the sequence, which "dynamic" looks at."""
    return FREQUENCIES[spec.kind](spec, length)


def rope_tables(positions_BL: Tensor, frequency_R: Tensor, amplitude: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [B, L, R] of every position's angles, float32, times an amplitude."""
    angle_BLR = positions_BL[..., None].float() * frequency_R.to(positions_BL.device)
    return angle_BLR.cos() * amplitude, angle_BLR.sin() * amplitude


def _default(spec: RopeSpec, length: int) -> Tensor:
    return 1.0 / _growth(spec.theta, spec.width)


def _linear(spec: RopeSpec, length: int) -> Tensor:
    return _default(spec, length) / spec.factor


def _dynamic(spec: RopeSpec, length: int) -> Tensor:
    if length <= spec.trained:
        return _default(spec, length)
    # in float32, as transformers does, whose sequence length is a tensor
    stretch = spec.factor * torch.tensor(length) / spec.trained - (spec.factor - 1)
    return 1.0 / _growth(spec.theta * stretch ** (spec.width / (spec.width - 2)), spec.width)


def _yarn(spec: RopeSpec, length: int) -> Tensor:
    low = max(math.floor(_channel_of(spec, spec.beta_fast)), 0)
    high = min(math.ceil(_channel_of(spec, spec.beta_slow)), spec.width - 1)
    ramp_R = (torch.arange(spec.width // 2, dtype=torch.float32) - low) / (high - low or 0.001)
    kept_R = 1 - ramp_R.clamp(0, 1)
    growth_R = _growth(spec.theta, spec.width)
    return (1.0 / (spec.factor * growth_R)) * (1 - kept_R) + (1.0 / growth_R) * kept_R


def _llama3(spec: RopeSpec, length: int) -> Tensor:
    plain_R = _default(spec, length)
    wave_R = 2 * math.pi / plain_R
    longest, shortest = spec.trained / spec.low_freq_factor, spec.trained / spec.high_freq_factor
    between = (spec.trained / wave_R - spec.low_freq_factor) / (spec.high_freq_factor - spec.low_freq_factor)
    blended_R = (1 - between) * plain_R / spec.factor + between * plain_R
    slow_R = torch.where(wave_R > longest, plain_R / spec.factor, plain_R)
    return torch.where((wave_R >= shortest) & (wave_R <= longest), blended_R, slow_R)


def _growth(theta: float | Tensor, width: int) -> Tensor:
    """Return the positions per radian of each pair of channels, float32 [R]."""
    return theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


def _channel_of(spec: RopeSpec, turns: float) -> float:
    """Return the pair of channels that turns so many times over the trained positions."""
    return spec.width * math.log(spec.trained / (turns * 2 * math.pi)) / (2 * math.log(spec.theta))


FREQUENCIES = {"default": _default, "linear": _linear, "dynamic": _dynamic, "yarn": _yarn, "llama3": _llama3}
