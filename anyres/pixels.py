"""Render the canvases of a plan: resize, paste, cut into tiles, normalise. No decision is made here.

By default resizing is PIL's bicubic and the arithmetic is that of transformers' PIL processors, bit for bit; each frame
is resized to all its canvases, each tile is written once, and no tile passes through a processor of its own.

Legend: N tiles in plan order, C = 3 colours, H W pixels of a tile.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from anyres.compiled import COMPILED
from anyres.decode import image_size, open_image
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.picture import PixelMode, Resample, check_mode, check_resample
from anyres.plan import Canvas, VisualPlan
from anyres.resize import Frame, resize_exact
from anyres.resize_fast import resize_fast
from kernels.pixels.op import normalise as compiled_normalise

__all__ = ["Frame", "MediaError", "image_size", "mean_colour", "normalise", "open_image", "render", "render_uint8"]

RGB = tuple[float, float, float]
Colour = tuple[int, int, int]


def render(
    plan: VisualPlan,
    frames: Sequence[Frame],
    mean: RGB,
    std: RGB,
    fill: Colour | None = None,
    pixels: PixelMode = "exact",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the tiles of a plan as the encoder reads them: `dtype` [N, 3, px, px], (v / 255 - mean) / std.

    frames: upright RGB, PIL images or uint8 arrays [H, W, 3]; a canvas names its frame by index. fill: the colour
    around a frame that is padded to a square; by default the encoder's mean colour. pixels: resized as PIL does it
    ("exact") or as torch does ("fast", "draft"), at most 2 grey levels away. Raises ValueError for a frame that is
    missing, not RGB or not 8 bits a channel.
    """
    tiles_NCHW = render_uint8(plan, frames, mean_colour(mean) if fill is None else fill, pixels)
    return normalise(tiles_NCHW, mean, std, dtype)


def render_uint8(
    plan: VisualPlan,
    frames: Sequence[Frame],
    fill: Colour,
    pixels: PixelMode = "exact",
    resample: Resample = "bicubic",
    out_NCHW: NDArray[np.uint8] | None = None,
) -> Tensor:
    """Return the tiles of a plan before normalisation: uint8 [N, 3, px, px].

    resample: by which weights pixels are resized; "exact" ones only have others than bicubic. out_NCHW: memory for the
    tiles, of that shape. Else arguments and errors as for `render`.
    """
    check_mode(pixels)
    check_resample(resample, pixels)
    shape = (plan.num_tiles, 3, plan.tile.px, plan.tile.px)
    tiles_NCHW = np.empty(shape, dtype=np.uint8) if out_NCHW is None else out_NCHW
    if tiles_NCHW.shape != shape or tiles_NCHW.dtype != np.uint8:
        raise ValueError(f"out: expected uint8 {list(shape)}, got {tiles_NCHW.dtype} {list(tiles_NCHW.shape)}")
    first = 0
    starts: list[int] = []
    of_frame: dict[tuple[int, str], list[int]] = {}
    for index, canvas in enumerate(plan.canvases):
        if not 0 <= canvas.frame < len(frames):
            raise ValueError(f"canvas {index} shows frame {canvas.frame}, but {len(frames)} frame(s) were given")
        of_frame.setdefault((canvas.frame, canvas.fit), []).append(index)
        starts.append(first)
        first += canvas.tiles.area
    for number in {number for number, _ in of_frame}:
        _check(frames[number], number)

    def draw(number: int, fit: str, canvases: Sequence[int], threads: int) -> None:
        frame = _square(frames[number], fill) if fit == "pad_square" else frames[number]
        sizes = [_resized(plan, index) for index in canvases]
        for index, content_CHW in zip(canvases, _resize(frame, sizes, pixels, threads, resample), strict=True):
            canvas = plan.canvases[index]
            _cut(tiles_NCHW[starts[index] : starts[index] + canvas.tiles.area], canvas, content_CHW)

    threads = min(torch.get_num_threads(), len(of_frame))
    if threads < 2:
        for (number, fit), canvases in of_frame.items():
            draw(number, fit, canvases, torch.get_num_threads())
    else:
        # a clip: a frame to each thread, which PIL and torch let go on together
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for drawn in [pool.submit(draw, *key, canvases, 1) for key, canvases in of_frame.items()]:
                drawn.result()
    return torch.from_numpy(tiles_NCHW)


def normalise(
    tiles_NCHW: Tensor, mean: RGB, std: RGB, dtype: torch.dtype = torch.float32, out_NCHW: Tensor | None = None
) -> Tensor:
    """Return tiles (v / 255 - mean) / std in `dtype` from uint8 tiles [N, 3, H, W], on their device.

    out_NCHW: memory for them on a CPU, of that shape and dtype; a loop that keeps some saves taking it from the system.

    Every step is one correctly rounded float32 operation, and the result is rounded once more to a shorter `dtype`.
    v / 255 equals transformers' float64 product with 1 / 255, rounded to float32, for all 256 values.
    """
    if tiles_NCHW.device.type != "cpu":
        # divisors are tensors: a GPU turns a division by a number into a product, which rounds otherwise
        full, mean_C11, std_C11 = (
            torch.tensor(value, device=tiles_NCHW.device).view(-1, 1, 1) for value in ((255.0,), mean, std)
        )
        return tiles_NCHW.float().div_(full).sub_(mean_C11).div_(std_C11).to(dtype)
    if out_NCHW is None:
        out_NCHW = torch.empty(tiles_NCHW.shape, dtype=dtype)
    elif out_NCHW.shape != tiles_NCHW.shape or out_NCHW.dtype != dtype:
        raise ValueError(f"out: expected {dtype} {list(tiles_NCHW.shape)}, got {out_NCHW.dtype} {list(out_NCHW.shape)}")
    if dtype == torch.float32 and tiles_NCHW.is_contiguous() and out_NCHW.is_contiguous() and COMPILED.ready():
        compiled_normalise(tiles_NCHW.numpy(), mean, std, out_NCHW.numpy(), torch.get_num_threads())
        return out_NCHW
    with COMPILED.waiting():
        _normalise_planes(tiles_NCHW, mean, std, out_NCHW)
    return out_NCHW


def mean_colour(mean: RGB) -> Colour:
    """Return the 8-bit colour of an encoder's mean, truncated: (122, 116, 104) for CLIP, (127, 127, 127) for SigLIP."""
    red, green, blue = (int(value * 255) for value in mean)
    return red, green, blue


def _normalise_planes(tiles_NCHW: Tensor, mean: RGB, std: RGB, out_NCHW: Tensor) -> None:
    full = out_NCHW.dtype == torch.float32
    scratch_HW = torch.empty(tiles_NCHW.shape[2:])
    # one plane at a time stays in the cache
    for tile_CHW, out_CHW in zip(tiles_NCHW, out_NCHW, strict=True):
        for channel in range(3):
            plane_HW = out_CHW[channel] if full else scratch_HW
            plane_HW.copy_(tile_CHW[channel]).div_(255).sub_(mean[channel]).div_(std[channel])
            if not full:
                out_CHW[channel].copy_(plane_HW)


def _resize(
    frame: Frame, sizes: Sequence[HW], pixels: PixelMode, threads: int, resample: Resample
) -> list[NDArray[np.uint8]]:
    if pixels == "exact":
        return resize_exact(frame, sizes, threads, resample)
    return resize_fast(frame, sizes)


def _resized(plan: VisualPlan, index: int) -> HW:
    """Return the size to which a canvas's frame, or the square that it is padded to, is resized."""
    canvas = plan.canvases[index]
    return canvas.content_px.size if canvas.fit == "paste" else plan.canvas_px(index)


def _cut(tiles_NCHW: NDArray[np.uint8], canvas: Canvas, content_CHW: NDArray[np.uint8]) -> None:
    """Write what one canvas shows into its tiles, row-major."""
    side = tiles_NCHW.shape[-1]
    top, left = (0, 0) if canvas.fit == "pad_square" else (canvas.content_px.y, canvas.content_px.x)
    height, width = content_CHW.shape[1:]
    rows, cols = canvas.tiles.times(side)
    if max(top, left) > 0 or top + height < rows or left + width < cols:
        # the black around pasted content
        tiles_NCHW[:] = 0
    for index, tile_CHW in enumerate(tiles_NCHW):
        # the content in this tile's own coordinates, then what of it lies inside
        row, col = divmod(index, canvas.tiles.w)
        y, x = top - row * side, left - col * side
        y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + height, side), min(x + width, side)
        if y0 < y1 and x0 < x1:
            tile_CHW[:, y0:y1, x0:x1] = content_CHW[:, y0 - y : y1 - y, x0 - x : x1 - x]


def _square(frame: Frame, fill: Colour) -> Frame:
    """Return a frame on the centre of a square of one colour, at full size."""
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    if image.width == image.height:
        return frame
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), fill)
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    return square


def _check(frame: Frame, index: int) -> None:
    if isinstance(frame, Image.Image):
        if frame.mode != "RGB":
            raise ValueError(f"frame {index}: expected an RGB image, got mode {frame.mode!r}; open_image converts it")
    elif frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame {index}: expected uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
