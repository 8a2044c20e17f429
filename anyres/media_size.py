"""Sizes without decoding: WIDTHxHEIGHT words, and image files by their header with the EXIF orientation applied."""

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from anyres.geometry import HW

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZE = re.compile(r"(\d+)[xX](\d+)")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


def parse_size(word: str) -> HW | None:
    """Return the size that WIDTHxHEIGHT names, in pixels, or None when the word is none.

    Raises ValueError for a side of 0.
    """
    match = _SIZE.fullmatch(word)
    if match is None:
        return None
    size = HW(int(match[2]), int(match[1]))
    if size.h < 1 or size.w < 1:
        raise ValueError(f"{word}: expected at least 1x1 pixels")
    return size


def image_size(path: Path) -> HW | None:
    """Return an image's size in pixels as it is shown, from its header; None when PIL does not know the format.

    Raises OSError when the file cannot be read, ValueError when its header is broken or declares a size beyond PIL's
    limit.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            size = HW(image.height, image.width)
            return size.transposed if _orientation(image, path) in _TURNED else size
    except UnidentifiedImageError:
        return None
    except (Image.DecompressionBombError, SyntaxError, struct.error) as error:
        raise ValueError(f"{path}: {error}") from error


def _orientation(image: "Image", path: Path) -> int:
    # PIL turns TIFF files itself, and for PNG getexif() decodes all pixels just to see what follows them
    if image.format == "TIFF" or (image.format == "PNG" and not _png_may_have_exif(path, dict(image.info))):
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _png_may_have_exif(path: Path, info: dict[object, object]) -> bool:
    if any(str(key).lower() in ("exif", "raw profile type exif", "xml:com.adobe.xmp", "xmp") for key in info):
        return True
    # metadata may also follow the pixels: walk over the chunk headers
    with path.open("rb") as file:
        file.seek(8)
        after_pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if after_pixels and kind in (b"eXIf", b"zTXt", b"iTXt", b"tEXt"):
                return True
            after_pixels = after_pixels or kind == b"IDAT"
            file.seek(length + 4, 1)
    return False
