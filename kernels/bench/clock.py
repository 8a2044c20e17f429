"""Take turns: every implementation once a round, in an order that rotates, and a plain copy among them."""

import gc
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

# larger than the caches of any GPU, and written so often that the host gets some milliseconds ahead of the device: what
# is timed is then the device's work and not its launches, but for calls that wait for the device
FLUSH_BYTES = 256 * 2**20
FLUSHES = 40


def measure(
    calls: dict[str, Callable[[], object]],
    device: str,
    rounds: int,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return each call's seconds by name, one per round, the order rotating from round to round.

    warm_up: one round more, which is not counted, goes before. clock: of a CPU's seconds.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for turn in range(0 if warm_up else 1, rounds + 1):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                took = time_once(calls[name], device, clock)
                if turn:
                    seconds[name].append(took)
    finally:
        gc.enable()
    return seconds


def time_once(call: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of one call; on a GPU between events, with its cache overwritten before."""
    if device != "cuda":
        start = clock()
        call()
        return clock() - start
    flush(device, FLUSH_BYTES)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    call()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1e3


def flush(device: str, num_bytes: int) -> None:
    """Leave caches full of what nobody wants and memory has already: read last, since what was written last would be
    carried to memory at the expense of what is timed."""
    flushed = torch.empty(num_bytes // 8, dtype=torch.int64, device=device)
    for _ in range(FLUSHES):
        flushed.zero_()
    flushed.amax()


def copy_of(moved_bytes: int, dtype: torch.dtype, device: str) -> Callable[[], Tensor]:
    """Return a function that moves as many bytes, half of them read and half written, in memory that it has."""
    numbers = moved_bytes // 2 // dtype.itemsize
    source, target = (torch.full((numbers,), value, dtype=dtype, device=device) for value in (1, 0))
    return lambda: target.copy_(source)


def ratio(mine: list[float], theirs: list[float]) -> float:
    """Return the median of the round-by-round ratios of two implementations' times."""
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
