"""Resize one frame to several sizes, as PIL does: by default bicubically. No torch.

PIL's bicubic pixels come from compiled loops where numba is installed, once a process has resized so much that loading
them pays (anyres/compiled.py); from PIL until then.

Legend: H W pixels of a frame, h w of a result, 3 colours, C 3 or 4 bytes of a pixel.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyres.borrowed import borrowed
from anyres.compiled import COMPILED
from anyres.geometry import HW
from anyres.passes import BICUBIC, columns_first
from anyres.picture import Resample
from kernels.pixels.op import Rows, resize

Frame = Image.Image | NDArray[np.uint8]
_FILTERS = {"bicubic": BICUBIC, "bilinear": Image.Resampling.BILINEAR, "area": Image.Resampling.BOX}


def resize_exact(
    frame: Frame, sizes: Sequence[HW], threads: int = 1, resample: Resample = "bicubic"
) -> list[NDArray[np.uint8]]:
    """Return uint8 planes [3, h, w] for each of `sizes`, bit-equal to PIL's resize.

    frame: an RGB image, or uint8 [H, W, 3]. threads: as many strips of it, or views where PIL resizes, are made at a
    time.
    """
    source = _size(frame)
    # the order of passes is known of the bicubic one
    late = [columns_first(source, size) for size in sizes] if resample == "bicubic" else [None]
    if None not in late and COMPILED.ready():
        return resize(_rows(frame), source, sizes, late, threads)
    with COMPILED.waiting() if resample == "bicubic" else nullcontext():
        views = _by_pil(frame, sizes, threads, resample)
    return [_planes(view) for view in views]


def _by_pil(frame: Frame, sizes: Sequence[HW], threads: int, resample: Resample) -> list[Image.Image]:
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)

    def view(size: HW) -> Image.Image:
        return image.resize((size.w, size.h), _FILTERS[resample])

    if threads == 1 or len(sizes) == 1:
        return [view(size) for size in sizes]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(view, sizes))


def _planes(view: Image.Image) -> NDArray[np.uint8]:
    # PIL takes colours apart sooner than numpy does
    planes_3HW = np.empty((3, view.height, view.width), dtype=np.uint8)
    for plane_HW, band in zip(planes_3HW, view.split(), strict=True):
        band_HW1 = borrowed(band)
        plane_HW[:] = np.asarray(band) if band_HW1 is None else band_HW1[..., 0]
    return planes_3HW


def _rows(frame: Frame) -> Rows:
    """Return what gives a frame's rows [top, bottom): uint8 [bottom - top, W, C]."""
    pixels_HWC = borrowed(frame) if isinstance(frame, Image.Image) else frame
    if pixels_HWC is not None:
        return lambda top, bottom: pixels_HWC[top:bottom]

    def strip(top: int, bottom: int) -> NDArray[np.uint8]:
        # PIL keeps a large image in several pieces; a strip of it is one
        piece = frame.crop((0, top, frame.width, bottom))
        piece_RWC = borrowed(piece)
        return np.asarray(piece) if piece_RWC is None else piece_RWC

    return strip


def _size(frame: Frame) -> HW:
    return HW(frame.height, frame.width) if isinstance(frame, Image.Image) else HW(*frame.shape[:2])
