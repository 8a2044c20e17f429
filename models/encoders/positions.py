"""The position embedding of a tower at another number of tokens a side.

transformers has this inside its towers; here it is for towers of other libraries, with the same arithmetic.

Legend: P positions, D width; T tokens a side as stored, K as wanted.
"""

from math import isqrt

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F


def resize_positions(positions_PD: Tensor, tok: int, prefix: int) -> Tensor:
    """Return positions [prefix + tok ** 2, D]: the grid resized bicubically, the `prefix` first ones as they are.

    The formula of transformers' interpolate_pos_encoding for CLIP and SigLIP: half-pixel centres, no antialiasing, and
    nothing at all where the grid has `tok` a side already.
    """
    side = isqrt(positions_PD.shape[0] - prefix)
    if side == tok:
        return positions_PD
    grid_1DTT = rearrange(positions_PD[prefix:], "(h w) d -> 1 d h w", h=side)
    grid_1DKK = F.interpolate(grid_1DTT, size=(tok, tok), mode="bicubic", align_corners=False)
    return torch.cat([positions_PD[:prefix], rearrange(grid_1DKK, "1 d h w -> (h w) d")])
