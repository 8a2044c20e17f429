"""Read arrays as pictures: numbers that have one meaning as 8-bit RGB, or none at all. PIL and numpy only.

Legend: H W pixels, C channels (1 grey, 3 RGB, 4 RGB and alpha).
"""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyres.errors import MediaError
from anyres.limits import MediaLimits

NPY_MAGIC = b"\x93NUMPY"

_CHANNELS = (1, 3, 4)
# what a header may need: the format's own reader refuses longer ones
_HEADER_BYTES = 10_000


def read_npy(file: BinaryIO, name: str, limits: MediaLimits) -> NDArray[Any]:
    """Return the array of an open .npy file, its header checked before its numbers are read.

    Raises MediaError for an array of Python objects (a pickle, never read), a size above the limits, and a file that is
    cut short.
    """
    form = np.lib.format
    try:
        version = form.read_magic(file)
        read_header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, _, dtype = read_header(file, max_header_size=_HEADER_BYTES)
    except (ValueError, OSError, EOFError, TypeError, MemoryError) as error:
        raise MediaError(name, "damaged", f"its .npy header cannot be read ({error})") from error
    if dtype.hasobject:
        found = "an array of Python objects (a pickle), which is never read"
        raise MediaError(name, "values", found, "store numbers: uint8 [H, W, 3]")
    pixels = 1
    for side in shape:
        pixels *= side
    _check_bytes(pixels * dtype.itemsize, name, limits)
    file.seek(0)
    try:
        return form.read_array(file, allow_pickle=False, max_header_size=_HEADER_BYTES)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise MediaError(name, "truncated", f"its numbers cannot be read ({error})") from error


def image_of(array: NDArray[Any], name: str, limits: MediaLimits) -> Image.Image:
    """Return an array as an image of mode L, RGB or RGBA.

    uint8 is taken as it is, uint16 by its high byte, bool as black and white. Shapes are [H, W], [H, W, C] and
    [C, H, W]. Raises MediaError for other numbers (floats have no defined mapping to 8 bits: 0 to 1, 0 to 255 and
    normalised ones look alike), other shapes, a shape that could be two of them, no pixels, or too many.
    """
    if array.dtype != np.uint8 and array.dtype != np.uint16 and array.dtype != np.bool_:
        found = f"numbers of type {array.dtype}, expected uint8, uint16 or bool"
        raise MediaError(name, "values", found)
    layers_HWC = _channels_last(array, name)
    height, width, channels = layers_HWC.shape
    if limits.pixels is not None and height * width > limits.pixels:
        raise MediaError(name, "limit", f"{width}x{height} pixels are above the limit of {limits.pixels}")
    pixels_HWC = np.ascontiguousarray(_in_8_bits(layers_HWC))
    return Image.fromarray(pixels_HWC[..., 0] if channels == 1 else pixels_HWC)


def _channels_last(array: NDArray[Any], name: str) -> NDArray[Any]:
    found = f"shape {list(array.shape)}"
    if array.ndim not in (2, 3):
        raise MediaError(name, "shape", f"{found} is no picture")
    if 0 in array.shape:
        raise MediaError(name, "empty", f"{found} has no pixels")
    if array.ndim == 2:
        return array[..., None]
    last, first = array.shape[2] in _CHANNELS, array.shape[0] in _CHANNELS
    if last and first:
        hint = "the channels may be the first or the last axis; give a PIL image"
        raise MediaError(name, "shape", f"{found} can be read in two ways", hint)
    if not last and not first:
        raise MediaError(name, "shape", f"{found} has no axis of 1, 3 or 4 channels")
    return array if last else array.transpose(1, 2, 0)


def _in_8_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    return (array >> 8).astype(np.uint8)


def _check_bytes(found: int, name: str, limits: MediaLimits) -> None:
    if limits.image_bytes is not None and found > limits.image_bytes:
        raise MediaError(name, "limit", f"{found} bytes of numbers are above the limit of {limits.image_bytes}")
