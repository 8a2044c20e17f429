"""What one answer costs under a setting, from its measured lengths, as if nothing were shared between samples."""

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
