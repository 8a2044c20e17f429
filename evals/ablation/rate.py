"""How fast this machine multiplies matrices: what turns the FLOPs of a sweep into an estimate of time."""

from __future__ import annotations

import time
from statistics import median

import torch

# rows and columns: large enough that the product, not its start, is timed
_SIDES = {"cpu": 1024, "cuda": 8192}


def measured_tflops(device: torch.device, dtype: torch.dtype, rounds: int = 5) -> float:
    """Return 10^12 FLOPs a second that square matrix products of `dtype` on `device` reach, the median of `rounds`.

    An upper bound for a model: its attention, its small products and everything around them are slower.
    """
    side = _SIDES.get(device.type, _SIDES["cpu"])
    left_SS, right_SS = (torch.full((side, side), 0.5, dtype=dtype, device=device) for _ in range(2))
    seconds = []
    # the first one pays for what happens once
    for _ in range(rounds + 1):
        start = time.perf_counter()
        product_SS = left_SS @ right_SS
        # reading a number waits for the device
        float(product_SS[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / median(seconds[1:]) / 1e12
