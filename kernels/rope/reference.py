"""The readable definition of the rotary embedding.

Legend: B rows, H query heads, G key heads, L positions, D head width, R = half of the rotated channels.
"""

import torch
from torch import Tensor


def rope_reference(x_BHLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> Tensor:
    """Return x with channels r and R + r of each head rotated by the angle of (position, r), channels from 2 R as is.

    In float32 (float64 in float64), the result in the dtype of x.
    """
    half = cos_BLR.shape[-1]
    exact = torch.float64 if x_BHLD.dtype == torch.float64 else torch.float32
    first, second, rest = x_BHLD[..., :half], x_BHLD[..., half : 2 * half], x_BHLD[..., 2 * half :]
    first, second = first.to(exact), second.to(exact)
    # one table for all heads
    cos, sin = cos_BLR[:, None].to(exact), sin_BLR[:, None].to(exact)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([turned.to(x_BHLD.dtype), rest], dim=-1)
