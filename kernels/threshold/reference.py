"""The readable definition of thresholding: put the tiles together, crop, resample.

Legend: M maps, R C rows and columns of tiles in a map, Y X rows and columns of tokens in a tile, D width, P Q rows and
columns of the result.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def threshold_reference(tiles_MRCYXD: Tensor, crop_tok: tuple[int, int, int, int], out_tok: tuple[int, int]) -> Tensor:
    """Return the crop (y, x, h, w) of each map at another size [M, P, Q, D], in the dtype of the tiles.

    Resampled bilinearly without antialiasing (align_corners=False), in float32 (float64 tiles in float64); a crop that
    keeps its size is copied exactly.
    """
    map_MHWD = rearrange(tiles_MRCYXD, "m r c y x d -> m (r y) (c x) d")
    y, x, h, w = crop_tok
    crop_MHWD = map_MHWD[:, y : y + h, x : x + w]
    if (h, w) == out_tok:
        return crop_MHWD.clone()
    exact = torch.float64 if tiles_MRCYXD.dtype == torch.float64 else torch.float32
    crop_MDHW = rearrange(crop_MHWD, "m h w d -> m d h w").to(exact)
    small_MDPQ = F.interpolate(crop_MDHW, size=out_tok, mode="bilinear", align_corners=False, antialias=False)
    return rearrange(small_MDPQ, "m d p q -> m p q d").to(tiles_MRCYXD.dtype)
