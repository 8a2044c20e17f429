"""Resize one frame to several sizes: as PIL does, by default bicubically, or by torch's integer bicubic, close to it.

PIL resizes in two passes, along rows and along columns, each rounded to 8 bits. Where it begins with the rows, a row's
first pass depends on that row alone: rows can be resized in strips, which stay in the cache and may go to several
threads, and the result is bit for bit that of one call.

PIL's bicubic pixels come from compiled loops where numba is installed, once a process has resized so much that loading
them pays (anyres/compiled.py); from PIL until then.

Legend: H W pixels of a frame, h w of a result, 3 colours, C 3 or 4 bytes of a pixel.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import torch
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

# rows of a strip; a frame of fewer pixels than this is not worth the strips
STRIP_ROWS = 128
STRIPS_FROM = 1 << 20


def resize_exact(
    frame: Frame, sizes: Sequence[HW], threads: int = 1, resample: Resample = "bicubic"
) -> list[NDArray[np.uint8]]:
    """Return uint8 planes [3, h, w] for each of `sizes`, bit-equal to PIL's resize.

    frame: an RGB image, or uint8 [H, W, 3]. threads: as many strips of a large frame, or views of a small one, are
    resized at a time.
    """
    source = _size(frame)
    # the order of passes is known of the bicubic one
    late = [columns_first(source, size) for size in sizes] if resample == "bicubic" else [None]
    if None not in late and COMPILED.ready():
        return resize(_rows(frame), source, sizes, late, threads)
    large = source.area >= STRIPS_FROM and (threads > 1 or not isinstance(frame, Image.Image))
    by_rows = large and late == [False] * len(sizes)
    with COMPILED.waiting() if resample == "bicubic" else nullcontext():
        views = _by_strips(frame, sizes, threads) if by_rows else _whole(frame, sizes, threads, resample)
    return [_planes(view) for view in views]


def resize_fast(frame: Frame, sizes: Sequence[HW]) -> list[NDArray[np.uint8]]:
    """Return uint8 planes [3, h, w] for each of `sizes` by torch's antialiased bicubic with integer weights.

    They differ from PIL's by at most 2 grey levels. Arguments as for `resize_exact`.
    """
    # a view with channels last, for which torch has vector code; PIL's own pixels have a fourth
    pixels_1CHW = _tensor(frame).permute(2, 0, 1)[None]
    return [_fast(pixels_1CHW, size)[0, :3].contiguous().numpy() for size in sizes]


def _whole(frame: Frame, sizes: Sequence[HW], threads: int, resample: Resample) -> list[Image.Image]:
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)

    def view(size: HW) -> Image.Image:
        return image.resize((size.w, size.h), _FILTERS[resample])

    if threads == 1 or len(sizes) == 1:
        return [view(size) for size in sizes]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(view, sizes))


def _by_strips(frame: Frame, sizes: Sequence[HW], threads: int) -> list[Image.Image]:
    height = _size(frame).h
    narrowed = [Image.new("RGB", (size.w, height)) for size in sizes]

    def first_pass(top: int) -> None:
        strip = _strip(frame, top, min(top + STRIP_ROWS, height))
        for view, size in zip(narrowed, sizes, strict=True):
            view.paste(strip.resize((size.w, strip.height), BICUBIC), (0, top))

    tops = range(0, height, STRIP_ROWS)
    if threads == 1:
        for top in tops:
            first_pass(top)
    else:
        # PIL lets other threads go on while it resizes
        with ThreadPoolExecutor(max_workers=threads) as pool:
            list(pool.map(first_pass, tops))
    return [view.resize((size.w, size.h), BICUBIC) for view, size in zip(narrowed, sizes, strict=True)]


def _planes(view: Image.Image) -> NDArray[np.uint8]:
    # PIL takes colours apart sooner than numpy does
    planes_3HW = np.empty((3, view.height, view.width), dtype=np.uint8)
    for plane_HW, band in zip(planes_3HW, view.split(), strict=True):
        band_HW1 = borrowed(band)
        plane_HW[:] = np.asarray(band) if band_HW1 is None else band_HW1[..., 0]
    return planes_3HW


def _strip(frame: Frame, top: int, bottom: int) -> Image.Image:
    if isinstance(frame, Image.Image):
        return frame.crop((0, top, frame.width, bottom))
    return Image.fromarray(frame[top:bottom])


def _rows(frame: Frame) -> Rows:
    """Return what gives a frame's rows [top, bottom): uint8 [bottom - top, W, C]."""
    pixels_HWC = borrowed(frame) if isinstance(frame, Image.Image) else frame
    if pixels_HWC is not None:
        return lambda top, bottom: pixels_HWC[top:bottom]

    def strip(top: int, bottom: int) -> NDArray[np.uint8]:
        # PIL keeps a large image in several pieces; a strip of it is one
        piece = _strip(frame, top, bottom)
        piece_RWC = borrowed(piece)
        return np.asarray(piece) if piece_RWC is None else piece_RWC

    return strip


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


def _size(frame: Frame) -> HW:
    return HW(frame.height, frame.width) if isinstance(frame, Image.Image) else HW(*frame.shape[:2])
