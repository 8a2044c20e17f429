"""Project only the tokens that are kept: packed without end vectors, projected, and closed by them afterwards.

A pointwise map commutes with a copy, so what packing drops need not be projected, and what it resamples is projected
as it was trained where clips are pooled before the projector.

Legend: N tiles, P tokens of a tile, E encoder width, D language model width, U packed tokens that are no end vectors,
S segments, C columns of the table.
"""

import numpy as np
import torch
from torch import Tensor, nn

from kernels.pack.columns import END_CODES, REDUCE_CODES, Column
from kernels.pack.op import pack
from kernels.pack.table import PackTable

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
    first_S = np.cumsum(area_S) - area_S
    picked_SC[:, Column.END], picked_SC[:, Column.VEC], picked_SC[:, Column.CLOSE] = END_CODES["none"], 0, 0
    picked_SC[:, Column.DST] = first_S
    # each segment's tokens lie row by row: tiles of one token, as many side by side as a row has
    closed_SC[:, Column.SRC], closed_SC[:, Column.COLS], closed_SC[:, Column.TOK] = first_S, np.maximum(out_w_S, 1), 1
    closed_SC[:, Column.Y] = closed_SC[:, Column.X] = 0
    closed_SC[:, Column.H], closed_SC[:, Column.W] = out_h_S, out_w_S
    closed_SC[:, Column.REDUCE] = REDUCE_CODES["bilinear"]
    counts_S = np.bincount(table.host_T, minlength=len(table.host_SC))
    return (
        PackTable.of(picked_SC.tolist(), area_S.tolist(), table.num_source),
        PackTable.of(closed_SC.tolist(), counts_S.tolist(), int(area_S.sum())),
    )
