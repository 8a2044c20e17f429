"""Render the canvases of a plan: resize, paste, cut into tiles, normalise. No decision is made here.

Resizing is PIL's bicubic and the arithmetic is that of transformers' PIL processors, bit for bit; each tile is written
once instead of passing through a processor of its own.

Legend: N tiles in plan order, C = 3 colours, H W pixels of a tile.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from anyres.decode import image_size, open_image
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.plan import Canvas, VisualPlan

__all__ = ["Frame", "MediaError", "image_size", "mean_colour", "normalise", "open_image", "render", "render_uint8"]

Frame = Image.Image | NDArray[np.uint8]
RGB = tuple[float, float, float]
Colour = tuple[int, int, int]


def render(plan: VisualPlan, frames: Sequence[Frame], mean: RGB, std: RGB, fill: Colour | None = None) -> Tensor:
    """Return the tiles of a plan as the encoder reads them: float32 [N, 3, px, px], (v / 255 - mean) / std.

    frames: upright RGB, PIL images or uint8 arrays [H, W, 3]; a canvas names its frame by index. fill: the colour
    around a frame that is padded to a square; by default the encoder's mean colour. Raises ValueError for a frame that
    is missing, not RGB or not 8 bits a channel.
    """
    return normalise(render_uint8(plan, frames, mean_colour(mean) if fill is None else fill), mean, std)


def render_uint8(plan: VisualPlan, frames: Sequence[Frame], fill: Colour) -> Tensor:
    """Return the tiles of a plan before normalisation: uint8 [N, 3, px, px]. Arguments and errors as for `render`."""
    # zeros: the black around pasted content
    tiles_NCHW = np.zeros((plan.num_tiles, 3, plan.tile.px, plan.tile.px), dtype=np.uint8)
    first = 0
    for index, canvas in enumerate(plan.canvases):
        if not 0 <= canvas.frame < len(frames):
            raise ValueError(f"canvas {index} shows frame {canvas.frame}, but {len(frames)} frame(s) were given")
        frame = _as_image(frames[canvas.frame], canvas.frame)
        last = first + canvas.tiles.area
        _draw(tiles_NCHW[first:last], canvas, frame, fill)
        first = last
    return torch.from_numpy(tiles_NCHW)


def normalise(tiles_NCHW: Tensor, mean: RGB, std: RGB) -> Tensor:
    """Return float32 tiles (v / 255 - mean) / std from uint8 tiles [N, 3, H, W].

    Every step is one correctly rounded float32 operation. v / 255 equals transformers' float64 product with 1 / 255,
    rounded to float32, for all 256 values.
    """
    out_NCHW = torch.empty(tiles_NCHW.shape, dtype=torch.float32, device=tiles_NCHW.device)
    # one plane at a time stays in the cache
    for tile_CHW, out_CHW in zip(tiles_NCHW, out_NCHW, strict=True):
        for channel in range(3):
            plane_HW = out_CHW[channel].copy_(tile_CHW[channel])
            plane_HW.div_(255).sub_(mean[channel]).div_(std[channel])
    return out_NCHW


def mean_colour(mean: RGB) -> Colour:
    """Return the 8-bit colour of an encoder's mean, truncated: (122, 116, 104) for CLIP, (127, 127, 127) for SigLIP."""
    red, green, blue = (int(value * 255) for value in mean)
    return red, green, blue


def _draw(tiles_NCHW: NDArray[np.uint8], canvas: Canvas, frame: Image.Image, fill: Colour) -> None:
    """Write one canvas into its tiles, row-major."""
    side = tiles_NCHW.shape[-1]
    content = _content(canvas, frame, canvas.tiles.times(side), fill)
    top, left = (0, 0) if canvas.fit == "pad_square" else (canvas.content_px.y, canvas.content_px.x)
    height, width = content.shape[:2]
    for index, tile_CHW in enumerate(tiles_NCHW):
        # the content in this tile's own coordinates, then what of it lies inside
        row, col = divmod(index, canvas.tiles.w)
        y, x = top - row * side, left - col * side
        y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + height, side), min(x + width, side)
        if y0 < y1 and x0 < x1:
            tile_CHW[:, y0:y1, x0:x1] = content[y0 - y : y1 - y, x0 - x : x1 - x].transpose(2, 0, 1)


def _content(canvas: Canvas, frame: Image.Image, canvas_px: HW, fill: Colour) -> NDArray[np.uint8]:
    """Return the resized frame [H, W, 3] of a canvas, padded to a square first where the canvas asks for it."""
    if canvas.fit == "paste":
        size = canvas.content_px.size
        return np.asarray(frame.resize((size.w, size.h), Image.Resampling.BICUBIC))
    longest = max(frame.size)
    if frame.width != frame.height:
        square = Image.new("RGB", (longest, longest), fill)
        square.paste(frame, ((longest - frame.width) // 2, (longest - frame.height) // 2))
        frame = square
    return np.asarray(frame.resize((canvas_px.w, canvas_px.h), Image.Resampling.BICUBIC))


def _as_image(frame: Frame, index: int) -> Image.Image:
    if isinstance(frame, Image.Image):
        if frame.mode != "RGB":
            raise ValueError(f"frame {index}: expected an RGB image, got mode {frame.mode!r}; open_image converts it")
        return frame
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"frame {index}: expected uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
    return Image.fromarray(frame)
