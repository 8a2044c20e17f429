"""The rotary embedding on a CPU, so many positions at a time that what is between stays in cache.

Legend: B rows, H heads, L positions, D head width, R = half of the rotated channels.
"""

import torch
from torch import Tensor

# bytes of exact numbers in a piece
PIECE_BYTES = 2**20


def rotate(x_BHLD: Tensor, cos_BLR: Tensor, sin_BLR: Tensor, out_BHLD: Tensor) -> None:
    """Write x rotated, in float32 (float64 in float64), into the first 2 R channels of out, which may be x itself."""
    half = cos_BLR.shape[-1]
    exact = torch.float64 if x_BHLD.dtype == torch.float64 else torch.float32
    rows, heads, length, _ = x_BHLD.shape
    step = max(PIECE_BYTES // max(rows * heads * 2 * half * exact.itemsize, 1), 1)
    for start in range(0, length, step):
        piece = slice(start, start + step)
        cos, sin = (table[:, piece, None].to(exact) for table in (cos_BLR, sin_BLR))
        # positions before heads, as projections leave them
        x_BLHE = x_BHLD[:, :, piece, : 2 * half].transpose(1, 2).to(exact)
        first, second = x_BLHE[..., :half], x_BLHE[..., half:]
        turned = torch.empty_like(x_BLHE)
        torch.mul(first, cos, out=turned[..., :half]).addcmul_(second, sin, value=-1)
        torch.mul(second, cos, out=turned[..., half:]).addcmul_(first, sin)
        out_BHLD[:, :, piece, : 2 * half].transpose(1, 2).copy_(turned)
