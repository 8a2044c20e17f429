"""Project only the tokens that are kept: packed without end vectors, projected, and closed by them afterwards.

A pointwise map commutes with a copy, so what packing drops need not be projected, and what it resamples is projected
as it was trained where clips are pooled before the projector.

Legend: N tiles, P tokens of a tile, E encoder width, D language model width, U packed tokens that are no end vectors,
S segments, C columns of the table.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kernels.pack.columns import END_CODES, REDUCE_CODES, Column
from kernels.pack.op import pack
from kernels.pack.table import Made, PackTable

# rows that a CPU projects at a time: what lies between two layers stays in its cache
CPU_ROWS = 4096


def project_kept(features_NPE: Tensor, table: PackTable, projector: nn.Module) -> tuple[Tensor, PackTable]:
    """Return the kept tokens projected [U, 1, D], and the table that packs them as `table` packs all.

    Differentiable in the features and in the projector's weights.
    """
    picked, closed = halves(table)
    # no end vector is asked for
    nothing_1E = features_NPE.new_zeros(1, features_NPE.shape[-1])
    kept_U1E = pack(features_NPE, nothing_1E, picked.to(table.device))[:, None]
    return project(kept_U1E, projector), closed.to(table.device)


def project(features_NPE: Tensor, projector: nn.Module) -> Tensor:
    """Return projected features [N, P, D]; on a CPU in pieces, unless a gradient is wanted."""
    step = max(CPU_ROWS // max(features_NPE.shape[1], 1), 1)
    if features_NPE.device.type != "cpu" or torch.is_grad_enabled() or len(features_NPE) <= step:
        return projector(features_NPE)
    pieces = features_NPE.split(step)
    first_SPD = projector(pieces[0])
    projected_NPD = first_SPD.new_empty(len(features_NPE), *first_SPD.shape[1:])
    projected_NPD[:step] = first_SPD
    for place, piece in enumerate(pieces[1:], start=1):
        projected_NPD[place * step : (place + 1) * step] = projector(piece)
    return projected_NPD


def halves(table: PackTable) -> tuple[PackTable, PackTable]:
    """Return two tables, on the host, that pack one after the other what `table` packs at once.

    The first packs its tokens without end vectors; the second puts those between tokens that came of the first's.
    """
    picked_SC, closed_SC = table.host_SC.copy(), table.host_SC.copy()
    out_h_S, out_w_S = table.host_SC[:, Column.OUT_H], table.host_SC[:, Column.OUT_W]
    area_S = out_h_S.astype(np.int64) * out_w_S
    first_S, kept = np.cumsum(area_S) - area_S, int(area_S.sum())
    picked_SC[:, Column.END], picked_SC[:, Column.VEC], picked_SC[:, Column.CLOSE] = END_CODES["none"], 0, 0
    picked_SC[:, Column.DST] = first_S
    # each segment's tokens lie row by row: tiles of one token, as many side by side as a row has
    closed_SC[:, Column.SRC], closed_SC[:, Column.COLS], closed_SC[:, Column.TOK] = first_S, np.maximum(out_w_S, 1), 1
    closed_SC[:, Column.Y] = closed_SC[:, Column.X] = 0
    closed_SC[:, Column.H], closed_SC[:, Column.W] = out_h_S, out_w_S
    closed_SC[:, Column.REDUCE] = REDUCE_CODES["bilinear"]
    segment_of_U = np.repeat(np.arange(len(area_S), dtype=np.int32), area_S)
    # a table's rows were checked: these follow from them
    picked = _with_rows(table, picked_SC, segment_of_U, num_source=table.num_source, num_ends=0)
    closed = _with_rows(table, closed_SC, table.host_T, num_source=kept, num_ends=table.num_ends)
    return picked, replace(closed, resampled=False, blocks=False, peaks=False)


def _with_rows(
    table: PackTable, host_SC: NDArray[np.int32], host_T: NDArray[np.int32], num_source: int, num_ends: int
) -> PackTable:
    """Return a table of the same reductions with other rows, from which nothing is derived yet."""
    return replace(
        table,
        segments_SC=torch.from_numpy(host_SC),
        segment_of_T=torch.from_numpy(host_T),
        num_tokens=len(host_T),
        num_source=num_source,
        num_ends=num_ends,
        host_SC=host_SC,
        host_T=host_T,
        made=Made(),
    )
