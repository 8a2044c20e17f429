"""The rotary embedding on a CPU, one tensor at a time.

Legend: B rows, H heads, L positions, D head width, R = half of the rotated channels.
"""

import torch
from torch import Tensor


def rotate_(x_BHLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor) -> None:
    """Rotate x in place, in float32 (float64 in float64)."""
    half = cos_BLR.shape[-1]
    exact = torch.float64 if x_BHLD.dtype == torch.float64 else torch.float32
    cos, sin = cos_BLR[:, None].to(exact), sin_BLR[:, None].to(exact)
    first, second = x_BHLD[..., :half], x_BHLD[..., half : 2 * half]
    # the halves as they were, for each other
    first_before, second_before = first.to(exact, copy=True), second.to(exact)
    first.copy_((first_before * cos).addcmul_(second_before, sin, value=-1))
    second.copy_((second_before * cos).addcmul_(first_before, sin))
