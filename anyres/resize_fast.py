"""Resize one frame to several sizes by torch's integer bicubic, at most 2 grey levels from PIL's.

Legend: H W pixels of a frame, h w of a result, C 3 or 4 bytes of a pixel.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from anyres.borrowed import borrowed
from anyres.geometry import HW
from anyres.passes import columns_first
from anyres.resize import Frame


def resize_fast(frame: Frame, sizes: Sequence[HW]) -> list[NDArray[np.uint8]]:
    """Return uint8 planes [3, h, w] for each of `sizes` by torch's antialiased bicubic with integer weights.

    They differ from PIL's by at most 2 grey levels. Arguments as for `resize_exact`.
    """
    # a view with channels last, for which torch has vector code; PIL's own pixels have a fourth
    pixels_1CHW = _tensor(frame).permute(2, 0, 1)[None]
    return [_fast(pixels_1CHW, size)[0, :3].contiguous().numpy() for size in sizes]


def _fast(pixels_1CHW: torch.Tensor, size: HW) -> torch.Tensor:
    """Resize in PIL's order of passes; in the other one, sharp pictures differ by ten times as much."""
    source = HW(*pixels_1CHW.shape[2:])
    if columns_first(source, size):
        pixels_1CHW = _bicubic(pixels_1CHW, HW(size.h, source.w))
    return _bicubic(pixels_1CHW, size)


def _bicubic(pixels_1CHW: torch.Tensor, size: HW) -> torch.Tensor:
    # along rows first, and no pass where a side stays
    if pixels_1CHW.shape[2:] == size:
        return pixels_1CHW
    return torch.nn.functional.interpolate(pixels_1CHW, tuple(size), mode="bicubic", antialias=True)


def _tensor(frame: Frame) -> torch.Tensor:
    if not isinstance(frame, Image.Image):
        return torch.from_numpy(np.ascontiguousarray(frame))
    pixels_HWC = borrowed(frame)
    with warnings.catch_warnings():
        # nobody may write to PIL's pixels; nobody does
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(frame) if pixels_HWC is None else pixels_HWC)
