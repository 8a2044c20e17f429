"""The readable definition of frame pooling.

Legend: F frames, H W rows and columns of tokens in a frame, D width, P Q rows and columns of the result.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def pool_reference(frames_FHWD: Tensor, stride: int, mode: str) -> Tensor:
    """Return pooled frames [F, P, Q, D] in their dtype; sums in float32 (float64 frames in float64).

    mode: "average" and "max" take blocks of stride x stride and drop the remainder (P = H // stride); "bilinear"
    resamples the whole frame and rounds up (P = ceil(H / stride)), with align_corners=False and without antialiasing.
    """
    exact = torch.float64 if frames_FHWD.dtype == torch.float64 else torch.float32
    frames_FDHW = rearrange(frames_FHWD, "f h w d -> f d h w").to(exact)
    if mode == "bilinear":
        size = [-(-side // stride) for side in frames_FDHW.shape[2:]]
        pooled_FDPQ = F.interpolate(frames_FDHW, size=size, mode="bilinear", align_corners=False)
    else:
        pooled_FDPQ = {"average": F.avg_pool2d, "max": F.max_pool2d}[mode](frames_FDHW, stride)
    return rearrange(pooled_FDPQ, "f d p q -> f p q d").to(frames_FHWD.dtype)
