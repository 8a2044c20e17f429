"""What one answer costs under a setting: counted from its measured lengths, and timed, with nothing shared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """FLOPs of encoder and language model side (projector and prefill), bytes of its features, pixels encoded."""

    encoder_flops: int
    llm_flops: int
    feature_bytes: int
    seen_px: int

    @property
    def flops(self) -> int:
        """Return the FLOPs of encoder, projector and prefill."""
        return self.encoder_flops + self.llm_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of one sample answered alone, decoding of its media apart: to its first token, and to its last.

    encode: the vision encoder's part. peak_mib: of the CUDA device, None elsewhere.
    """

    sample: str
    first_token: float
    seconds: float
    encode: float
    peak_mib: float | None
