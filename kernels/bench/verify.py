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


def checked(
    calls: dict[str, Callable[[], object]],
    expected: Tensor,
    first: Callable[[Callable[[], object]], Tensor] = lambda call: call(),
) -> tuple[dict[str, Callable[[], object]], tuple[str, ...]]:
    """Return the calls that give the reference's numbers, and why others were left out: peers that fail or differ.

    first: gives the numbers to compare from a call. Raises ValueError for implementations of this project.
    """
    wrong = {name: problem for name, call in calls.items() if (problem := _problem(name, call, expected, first))}
    ours = [problem for name, problem in wrong.items() if name not in PEERS]
    if ours:
        raise ValueError("; ".join(ours))
    return {name: call for name, call in calls.items() if name not in wrong}, tuple(wrong.values())


def gradient_of(function: Callable[[Tensor], Tensor], source: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient in float32 of a reference with respect to its source."""
    exact = source.detach().float().requires_grad_()
    (found,) = torch.autograd.grad(function(exact), exact, grad.float())
    return found


def _problem(
    name: str, call: Callable[[], object], expected: Tensor, first: Callable[[Callable[[], object]], Tensor]
) -> str:
    if name not in PEERS:
        found = first(call)
    else:
        try:
            found = first(call)
        # another's code on a machine that it may not have seen: whatever happens, the others are timed
        except Exception as error:
            return f"{name} fails: {type(error).__name__}: {str(error)[:300]}"
    if found.shape != expected.shape:
        return f"{name} gives {tuple(found.shape)}, the reference {tuple(expected.shape)}"
    excess = excess_over_tolerance(found, expected, THEIRS if name in PEERS else OURS)
    return "" if excess <= 0 else f"{name} is off by {excess:.3g} more than allowed"


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
