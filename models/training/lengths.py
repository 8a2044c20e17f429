"""Group samples into batches that fit a token budget, epoch after epoch, from a seed.  Pure."""

from collections.abc import Sequence
from random import Random


def epoch_batches(lengths: Sequence[int], batch_tokens: int, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """Return one epoch's batches of sample indices: every sample once, in an order drawn from seed and epoch.

    A batch costs its longest sample times its size, as padding makes it; none costs more than batch_tokens. Raises
    ValueError for no samples, or naming a sample that is longer than a whole batch.
    """
    if not lengths:
        raise ValueError("no samples to train on")
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    if lengths[longest] > batch_tokens:
        raise ValueError(f"sample {longest} needs {lengths[longest]} positions, but batch_tokens is {batch_tokens}")
    order = list(range(len(lengths)))
    Random(f"{seed}/{epoch}").shuffle(order)
    batches: list[tuple[int, ...]] = []
    current: list[int] = []
    for index in order:
        widest = max(lengths[other] for other in [*current, index])
        if current and widest * (len(current) + 1) > batch_tokens:
            batches.append(tuple(current))
            current = []
        current.append(index)
    return [*batches, tuple(current)]
