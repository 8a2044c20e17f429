"""The readable definition of packing, one segment at a time.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens, X source tokens, H W rows and columns.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from kernels.pack.columns import END_CODES, Column
from kernels.pack.table import PackTable


def pack_reference(features_NPD: Tensor, ends_KD: Tensor, table: PackTable) -> Tensor:
    """Return the packed tokens [T, D] of a batch: crops resampled bilinearly (align_corners=False), rows closed.

    A segment whose output has its crop's size is copied exactly; others are resampled in float32 (float64 features in
    float64). The output has the features' dtype.
    """
    flat_XD = rearrange(features_NPD, "n p d -> (n p) d")
    pieces = [_segment(flat_XD, ends_KD, row) for row in table.host_SC.tolist()]
    return torch.cat(pieces) if pieces else flat_XD[:0]


def _segment(flat_XD: Tensor, ends_KD: Tensor, row: list[int]) -> Tensor:
    map_HWD = flat_XD[_crop_indices(row, flat_XD.device)]
    out_h, out_w = row[Column.OUT_H], row[Column.OUT_W]
    if (out_h, out_w) != (row[Column.H], row[Column.W]):
        exact = torch.float64 if flat_XD.dtype == torch.float64 else torch.float32
        crop_DHW = rearrange(map_HWD, "h w d -> 1 d h w").to(exact)
        resized = F.interpolate(crop_DHW, size=(out_h, out_w), mode="bilinear", align_corners=False, antialias=False)
        map_HWD = rearrange(resized, "1 d h w -> h w d").to(flat_XD.dtype)
    if row[Column.END] == END_CODES["row"]:
        end_D = ends_KD[row[Column.VEC]].to(flat_XD.dtype)
        map_HWD = torch.cat([map_HWD, end_D.expand(out_h, 1, -1)], dim=1)
    tokens_TD = rearrange(map_HWD, "h w d -> (h w) d")
    if row[Column.END] == END_CODES["segment"]:
        tokens_TD = torch.cat([tokens_TD, ends_KD[row[Column.VEC]].to(flat_XD.dtype)[None]])
    return tokens_TD


def _crop_indices(row: list[int], device: torch.device) -> Tensor:
    tok, cols = row[Column.TOK], row[Column.COLS]
    y_H = torch.arange(row[Column.Y], row[Column.Y] + row[Column.H], device=device)
    x_W = torch.arange(row[Column.X], row[Column.X] + row[Column.W], device=device)
    tile_HW = (y_H // tok)[:, None] * cols + (x_W // tok)[None, :]
    inside_HW = (y_H % tok)[:, None] * tok + (x_W % tok)[None, :]
    return row[Column.SRC] + tile_HW * tok * tok + inside_HW
