"""The language model's inputs, call by call of the encoder: each call's features are projected and placed at once.

For a CPU, where tokens are copies of features and none is wanted twice: neither a batch's features nor its projected
tokens are ever there as a whole, and what a call gave is read while the cache has it.

Legend: B rows of a batch, L sequence, R = B * L positions, N tiles, P tokens of a tile, E encoder width, D language
model width, K end vectors, V words, T packed tokens, X positions of text, U positions of projected tokens, Z those of
end vectors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kernels.pack.columns import Column
from kernels.pack.table import PackTable
from models.batch import Batch
from models.kept import project


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """Where each position of a batch comes from; int64.

    text_X: positions of words. kept_U, token_U: positions of projected tokens and which of the pixels' N * P tokens
    each is of, by that number. end_Z, vector_Z: positions of end vectors, and which vector.
    """

    text_X: Tensor
    kept_U: Tensor
    token_U: Tensor
    end_Z: Tensor
    vector_Z: Tensor

    @classmethod
    def of(cls, batch: Batch, tile_tokens: int) -> Sources | None:
        """Return the sources of a batch on the host; None where a token is no copy, or stands in several positions."""
        table, shown = batch.table, batch.pixels_NCHW if batch.tile_of_N is None else batch.tile_of_N
        if batch.resampled or batch.known is not None or len(shown) * tile_tokens != table.num_source:
            return None
        visual_R = batch.visual_BL.flatten().numpy()
        shown_R = visual_R >= 0
        position_Y = np.flatnonzero(shown_R)
        packed_Y = visual_R[position_Y]
        if not _copies(table) or np.bincount(packed_Y, minlength=1).max() > 1:
            return None
        gather = table.gather()
        vector_T = np.full(table.num_tokens, -1, dtype=np.int64)
        vector_T[gather.end_row_E.numpy()] = gather.end_vec_E.numpy()
        vector_Y = vector_T[packed_Y]
        is_kept_Y = vector_Y < 0
        token_U = gather.copied_T.numpy()[packed_Y[is_kept_Y]].astype(np.int64)
        if batch.tile_of_N is not None:
            tile_U, place_U = np.divmod(token_U, tile_tokens)
            token_U = batch.tile_of_N.numpy()[tile_U] * tile_tokens + place_U
        order_U = np.argsort(token_U, kind="stable")
        found = {
            "text_X": np.flatnonzero(~shown_R),
            "kept_U": position_Y[is_kept_Y][order_U],
            "token_U": token_U[order_U],
            "end_Z": position_Y[~is_kept_Y],
            "vector_Z": vector_Y[~is_kept_Y],
        }
        return cls(**{name: torch.from_numpy(values) for name, values in found.items()})


def place_calls(
    calls: Iterable[Tensor], sources: Sources, projector: nn.Module, ends_KD: Tensor, words_VD: Tensor, ids_BL: Tensor
) -> Tensor:
    """Return inputs [B, L, D] in the words' dtype from the features [., P, E] of a batch's tiles, in order.

    For inference: nothing of it has a gradient.
    """
    inputs_RD = words_VD.new_empty(ids_BL.numel(), words_VD.shape[1])
    ids_X = ids_BL.flatten().index_select(0, sources.text_X)
    inputs_RD.index_copy_(0, sources.text_X, words_VD.index_select(0, ids_X))
    inputs_RD.index_copy_(0, sources.end_Z, ends_KD.to(inputs_RD.dtype).index_select(0, sources.vector_Z))
    done, first = 0, 0
    for features_NPE in calls:
        tokens_ME = features_NPE.flatten(0, 1)
        stop = int(torch.searchsorted(sources.token_U, first + len(tokens_ME)))
        kept_UE = tokens_ME.index_select(0, sources.token_U[done:stop] - first)
        projected_UD = project(kept_UE[:, None], projector)[:, 0]
        inputs_RD.index_copy_(0, sources.kept_U[done:stop], projected_UD.to(inputs_RD.dtype))
        done, first = stop, first + len(tokens_ME)
    return inputs_RD.view(*ids_BL.shape, -1)


def _copies(table: PackTable) -> bool:
    """Return whether no token of a table is resampled or pooled."""
    sizes_S4 = table.host_SC[:, [Column.H, Column.W, Column.OUT_H, Column.OUT_W]]
    return bool((sizes_S4[:, :2] == sizes_S4[:, 2:]).all())
