"""The readable definition of packing, one segment at a time.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens, X source tokens, H W rows and columns.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from kernels.pack.columns import END_CODES, REDUCE_CODES, Column
from kernels.pack.table import PackTable


def pack_reference(features_NPD: Tensor, ends_KD: Tensor, table: PackTable) -> Tensor:
    """Return the packed tokens [T, D] of a batch: crops resampled or pooled, rows closed.

    A segment whose output has its crop's size is copied exactly; others are resampled bilinearly (align_corners=False),
    or are the mean or the largest of whole blocks, in float32 (float64 features in float64). The output has the
    features' dtype.
    """
    flat_XD = rearrange(features_NPD, "n p d -> (n p) d")
    pieces = [_segment(flat_XD, ends_KD, row) for row in table.host_SC.tolist()]
    return torch.cat(pieces) if pieces else flat_XD[:0]


def _segment(flat_XD: Tensor, ends_KD: Tensor, row: list[int]) -> Tensor:
    map_HWD = flat_XD[_crop_indices(row, flat_XD.device)]
    out_h, out_w = row[Column.OUT_H], row[Column.OUT_W]
    if (out_h, out_w) != (row[Column.H], row[Column.W]):
        exact = torch.float64 if flat_XD.dtype == torch.float64 else torch.float32
        crop_1DHW = rearrange(map_HWD, "h w d -> 1 d h w").to(exact)
        map_HWD = rearrange(_resized(crop_1DHW, out_h, out_w, row[Column.REDUCE]), "1 d h w -> h w d")
        map_HWD = map_HWD.to(flat_XD.dtype)
    if row[Column.END] == END_CODES["row"]:
        end_D = ends_KD[row[Column.VEC]].to(flat_XD.dtype)
        map_HWD = torch.cat([map_HWD, end_D.expand(out_h, 1, -1)], dim=1)
    tokens_TD = rearrange(map_HWD, "h w d -> (h w) d")
    if row[Column.END] == END_CODES["segment"]:
        tokens_TD = torch.cat([tokens_TD, ends_KD[row[Column.VEC]].to(flat_XD.dtype)[None]])
    if row[Column.CLOSE]:
        tokens_TD = torch.cat([tokens_TD, ends_KD[row[Column.CLOSE] - 1].to(flat_XD.dtype)[None]])
    return tokens_TD


def _resized(crop_1DHW: Tensor, out_h: int, out_w: int, reduce: int) -> Tensor:
    if reduce == REDUCE_CODES["bilinear"]:
        return F.interpolate(crop_1DHW, size=(out_h, out_w), mode="bilinear", align_corners=False, antialias=False)
    block = (crop_1DHW.shape[2] // out_h, crop_1DHW.shape[3] // out_w)
    return F.avg_pool2d(crop_1DHW, block) if reduce == REDUCE_CODES["average"] else F.max_pool2d(crop_1DHW, block)


def _crop_indices(row: list[int], device: torch.device) -> Tensor:
    tok, cols = row[Column.TOK], row[Column.COLS]
    y_H = torch.arange(row[Column.Y], row[Column.Y] + row[Column.H], device=device)
    x_W = torch.arange(row[Column.X], row[Column.X] + row[Column.W], device=device)
    tile_HW = (y_H // tok)[:, None] * cols + (x_W // tok)[None, :]
    inside_HW = (y_H % tok)[:, None] * tok + (x_W % tok)[None, :]
    return row[Column.SRC] + tile_HW * tok * tok + inside_HW
