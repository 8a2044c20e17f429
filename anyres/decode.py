"""Read image files: upright (EXIF orientation applied), RGB, 8 bits a channel. PIL only, no torch.

What a file may hold, and what comes back: transparency is shown on white; 16-bit grey is scaled to 8 bits (the high
byte); of an animation or a multi-page file the first picture is read; 32-bit integers and floats have no defined
mapping to 8 bits and are refused.
"""

import io
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IMAGELENGTH as TIFF_LENGTH
from PIL.TiffImagePlugin import IMAGEWIDTH as TIFF_WIDTH
from PIL.TiffImagePlugin import TiffImageFile

from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits

Source = str | Path | bytes | Image.Image

# bitmap formats only: nothing that runs an interpreter or names other files; MPO (phones) opens as JPEG
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF", "ICO")

_WHITE = (255, 255, 255, 255)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")


def open_image(source: Source, limits: MediaLimits = LIMITS) -> Image.Image:
    """Return an image as upright RGB, fully decoded. A PIL image is turned by its EXIF tag and converted likewise.

    Raises MediaError (a ValueError) naming the file and what is wrong with it: not a regular file, not an image, more
    pixels than `limits` allow, damaged or cut short, or a depth without a mapping to 8 bits.
    """
    name = _name(source)
    with _opened(source, name, limits) as image:
        with _reading(name):
            image.load()
            turn = _TURNS.get(_orientation(image))
        if turn is None:
            return _to_rgb(image, name)
        turned = _to_rgb(image.transpose(turn), name)
        # the orientation tag comes along and would turn the picture a second time
        turned.info = {}
        return turned


def image_size(source: Source, limits: MediaLimits = LIMITS) -> HW:
    """Return the upright size of an image in pixels from its header: EXIF orientation applied, pixels not decoded.

    It equals the size of `open_image(source)`. A PNG that hides its orientation behind its pixels is decoded after all.
    Raises MediaError as `open_image` does, except for damage that only decoding shows.
    """
    name = _name(source)
    with _opened(source, name, limits) as image, _reading(name):
        if image.format == "PNG" and not _png_metadata_first(image):
            image.load()
        turned = _orientation(image) >= 5
        size = _stored_size(image)
    return size.transposed if turned else size


@contextmanager
def _opened(source: Source, name: str, limits: MediaLimits) -> Iterator[Image.Image]:
    if isinstance(source, Image.Image):
        _check_size(source, name, limits)
        yield source
        return
    with _reading(name):
        image = Image.open(_stream(source, name), formats=FORMATS)
    with image:
        _check_size(image, name, limits)
        yield image


def _stream(source: str | Path | bytes, name: str) -> io.BytesIO | Path:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    # a named pipe would block for ever, a device never ends
    if not stat.S_ISREG(path.stat().st_mode):
        raise MediaError(name, "not_a_file", "a folder, pipe, socket or device", "give the path of an image file")
    return path


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn the errors of PIL's readers into one that names the file."""
    try:
        yield
    except MediaError:
        raise
    except FileNotFoundError as error:
        raise MediaError(name, "missing", "no such file") from error
    except UnidentifiedImageError as error:
        raise MediaError(
            name, "not_media", "not an image of a known format", f"known are {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise MediaError(name, "limit", str(error)) from error
    except (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, TypeError, MemoryError) as error:
        # PIL's readers raise any of these on damaged bytes
        raise MediaError(name, "damaged", f"cannot be decoded ({error})") from error


def _check_size(image: Image.Image, name: str, limits: MediaLimits) -> None:
    if image.width < 1 or image.height < 1:
        raise MediaError(name, "empty", f"empty image of {image.width}x{image.height} pixels")
    if limits.pixels is not None and image.width * image.height > limits.pixels:
        found = f"{image.width}x{image.height} pixels are above the limit of {limits.pixels}"
        raise MediaError(name, "limit", found)


def _orientation(image: Image.Image) -> int:
    # the base class's reader: the one for PNG would decode the pixels first
    exif = Image.Image.getexif(image)
    value = exif.get(ExifTags.Base.Orientation, 1)
    return value if value in _TURNS else 1


def _stored_size(image: Image.Image) -> HW:
    # PIL turns a TIFF itself, and may give the turned size before it has: the tags are the stored one
    if isinstance(image, TiffImageFile) and image.fp is not None:
        return HW(int(image.tag_v2[TIFF_LENGTH]), int(image.tag_v2[TIFF_WIDTH]))
    return HW(image.height, image.width)


def _png_metadata_first(image: Image.Image) -> bool:
    """Tell whether a PNG has no metadata behind its first pixel chunk, by walking the chunk headers."""
    stream = image.fp
    if stream is None:
        return True
    start, pixels_seen = stream.tell(), False
    stream.seek(0)
    if stream.read(8) != _PNG_SIGNATURE:
        stream.seek(start)
        return False
    while len(header := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind in _PNG_METADATA and pixels_seen:
            stream.seek(start)
            return False
        pixels_seen = pixels_seen or kind == b"IDAT"
        stream.seek(length + 4, io.SEEK_CUR)
    stream.seek(start)
    return True


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating point numbers"
        raise MediaError(name, "values", f"pixels are {kind}")
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, _WHITE), pixels).convert("RGB")
    return image.convert("RGB")


def _name(source: Source) -> str:
    if isinstance(source, bytes):
        return "<bytes>"
    return "<image>" if isinstance(source, Image.Image) else str(source)
