"""Move a batch's tables to a GPU by one transfer that nobody waits for.

Legend: B bytes.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

# each table begins at a multiple of this, as tensors of their own would
ALIGNMENT = 16


def moved(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """Return contiguous tensors on a device.

    From the host to a GPU they go as one block of pinned memory, without a synchronisation: work that is put on the
    current stream afterwards finds them there.
    """
    device = torch.device(device)
    if device.type != "cuda" or any(tensor.device.type != "cpu" for tensor in tensors):
        return [tensor.to(device, non_blocking=True) for tensor in tensors]
    block_B = joined(tensors).pin_memory().to(device, non_blocking=True)
    return parted(block_B, tensors)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors' bytes, uint8 [B], each tensor's at an aligned place; `parted` undoes it."""
    block_B = torch.empty(sum(map(_padded, tensors)), dtype=torch.uint8)
    for view, tensor in zip(parted(block_B, tensors), tensors, strict=True):
        view.copy_(tensor)
    return block_B


def parted(block_B: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a block that have the shapes and dtypes of the tensors joined in it."""
    views, start = [], 0
    for tensor in like:
        stop = start + tensor.dtype.itemsize * prod(tensor.shape)
        views.append(block_B[start:stop].view(tensor.dtype).view(tensor.shape))
        start += _padded(tensor)
    return views


def _padded(tensor: Tensor) -> int:
    return -(-tensor.dtype.itemsize * prod(tensor.shape) // ALIGNMENT) * ALIGNMENT
