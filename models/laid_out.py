"""Keys and values in memory that is laid out once for all positions, and written in place.

Unlike transformers' static cache it shows only what is written so far, so attention covers no position too many; unlike
the dynamic one nothing is copied when a position is added.

Legend: B rows, L positions, H heads, K head width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class LaidOutLayer(DynamicLayer):
    """One layer with memory for all its positions [B, H, L, K]; the first `written` are there already."""

    def __init__(self, keys_BHLK: Tensor, values_BHLK: Tensor, written: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys_BHLK.dtype, keys_BHLK.device, True
        self._whole = keys_BHLK, values_BHLK
        self._show(written)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write what follows, and return all that is written. Raises ValueError where there is no room left."""
        start, room = self.keys.shape[2], self._whole[0].shape[2]
        stop = start + key_states.shape[2]
        if stop > room:
            raise ValueError(f"cache: room for {room} positions, {start} are written and {stop - start} follow")
        for whole_BHLK, new_BHSK in zip(self._whole, (key_states, value_states), strict=True):
            whole_BHLK[:, :, start:stop] = new_BHSK
        self._show(stop)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        keys_BHLK, values_BHLK = self._whole
        self._whole = keys_BHLK[indices], values_BHLK[indices]
        self._show(self.keys.shape[2])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        rows = torch.arange(len(self.keys), device=self.keys.device)
        self.batch_select_indices(rows.repeat_interleave(repeats))

    def reset(self) -> None:
        """Refuse: what is laid out is for one use."""
        raise ValueError("cache: one that is laid out cannot be emptied; make a new one")

    def _show(self, written: int) -> None:
        keys_BHLK, values_BHLK = self._whole
        self.keys, self.values = keys_BHLK[:, :, :written], values_BHLK[:, :, :written]


def laid_out(layers: Sequence[tuple[Tensor, Tensor]], written: int) -> DynamicCache:
    """Return a cache over each layer's keys and values [B, H, L, K], of which the first `written` are there."""
    cache = DynamicCache()
    cache.layers.extend(LaidOutLayer(keys_BHLK, values_BHLK, written) for keys_BHLK, values_BHLK in layers)
    return cache
