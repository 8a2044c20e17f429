"""Check every implementation on a case before any is timed.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# (relative, absolute): one unit in the last place, and what weights of 16 (bfloat16) or 22 bits (float16) add
OURS = {torch.float32: (0.0, 2e-6), torch.bfloat16: (2**-7, 6e-5), torch.float16: (2**-10, 2e-6)}
# peers resample half types in their own precision; normally distributed features are below 6
THEIRS = {torch.float32: (0.0, 2e-6), torch.bfloat16: (2**-7, 2**-4), torch.float16: (2**-10, 2**-7)}

PEERS = ("transformers", "eager", "compiled", "channels last", "liger")


def verify(packers: dict[str, Callable[[], Tensor]], expected_TD: Tensor) -> None:
    """Raise ValueError naming each packer whose tokens are not the reference's."""
    wrong = []
    for name, packer in packers.items():
        found_TD = packer()
        if found_TD.shape != expected_TD.shape:
            wrong.append(f"{name} gives {tuple(found_TD.shape)}, the reference {tuple(expected_TD.shape)}")
            continue
        excess = excess_over_tolerance(found_TD, expected_TD, THEIRS if name in PEERS else OURS)
        if not excess <= 0:
            wrong.append(f"{name} is off by {excess:.3g} more than allowed")
    if wrong:
        raise ValueError("; ".join(wrong))


def excess_over_tolerance(
    found_TD: Tensor, expected_TD: Tensor, tolerances: dict[torch.dtype, tuple[float, float]]
) -> float:
    """Return by how much the worst number lies beyond its tolerance, NaN for a NaN; <= 0 passes. By pieces of rows."""
    relative, absolute = tolerances[found_TD.dtype]
    worst = torch.full((), -absolute, device=expected_TD.device)
    for found, expected in zip(found_TD.split(4096), expected_TD.split(4096), strict=True):
        expected = expected.float()
        excess = (found.float() - expected).abs() - (absolute + relative * expected.abs())
        # torch's maximum carries a NaN through
        worst = torch.maximum(worst, excess.max())
    return worst.item()
