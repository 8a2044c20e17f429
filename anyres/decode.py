"""Open images: upright (EXIF orientation applied), RGB, 8 bits a channel. PIL and numpy only, no torch.

What a medium may hold, and what comes back: transparency is shown on white; 16 bits a channel are scaled to 8 bits (the
high byte); of an animation or a multi-page file the first picture is read; colour profiles are not applied; 32-bit
integers and floats have no defined mapping to 8 bits and are refused. docs/media.md has the table.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IMAGELENGTH as TIFF_LENGTH
from PIL.TiffImagePlugin import IMAGEWIDTH as TIFF_WIDTH
from PIL.TiffImagePlugin import TiffImageFile

from anyres.arrays import NPY_MAGIC, image_of, read_npy
from anyres.checksums import check_file
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits
from anyres.local import open_local
from anyres.png_chunks import SIGNATURE, check_chunks
from anyres.tiff_strips import check_strips

Source = str | Path | bytes | Image.Image | NDArray[Any]

# bitmap formats only: nothing that runs an interpreter or names other files; MPO (phones) opens as JPEG
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "AVIF")

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
_PNG_METADATA = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
# what PIL gives to a format that is asked whether a file is its own
_PREFIX_BYTES = 16
# PIL's readers raise any of these on damaged bytes
_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, Warning, struct.error, zlib.error,
)  # fmt: skip
# a progressive JPEG is gone through once for each of its scans: encoders write about ten
_SCANS = 20
_SCAN_MARKER = b"\xff\xda"


def open_image(source: Source, limits: MediaLimits = LIMITS) -> Image.Image:
    """Return an image as upright RGB, fully decoded: a local file, the bytes of one, a PIL image, or an array.

    What a file is, its content tells; .npy files are among them. A PIL image is turned by its EXIF tag and converted
    likewise. An array is uint8, uint16 or bool, [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4 channels.

    Raises MediaError (a ValueError) naming the file and what is wrong with it: not a regular local file, not an image,
    more pixels or bytes than `limits` allow, damaged or cut short, numbers without a mapping to 8 bits, or an array of
    no clear shape.
    """
    name = _name(source)
    with opened(source, name, limits) as image:
        with _reading(name):
            _check_scans(image, name, limits)
            _check_sums(image, name)
            image.load()
            turn = _TURNS.get(orientation(image))
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
    with opened(source, name, limits) as image, _reading(name):
        if image.format == "PNG" and not _png_metadata_first(image):
            image.load()
        turned = orientation(image) >= 5
        size = _stored_size(image)
    return size.transposed if turned else size


@contextmanager
def opened(source: Source, name: str, limits: MediaLimits) -> Iterator[Image.Image]:
    """Give an image whose header is read and whose size is within the limits; its pixels need not be decoded.

    name: what errors call it. Raises MediaError as `open_image` does, except for damage that only decoding shows.
    """
    if isinstance(source, np.ndarray):
        yield image_of(source, name, limits)
        return
    if isinstance(source, Image.Image):
        _check_size(source, name, limits)
        yield source
        return
    if isinstance(source, str | Path):
        check_file(source, limits)
    with _stream(source, name, limits) as stream:
        start = stream.read(len(NPY_MAGIC))
        stream.seek(0)
        if start == NPY_MAGIC:
            yield image_of(read_npy(stream, name, limits), name, limits)
            return
        if not start:
            raise MediaError(name, "not_media", "an empty file")
        with _reading(name):
            image = Image.open(stream, formats=FORMATS)
        with image:
            _check_size(image, name, limits)
            yield image


def _stream(source: str | Path | bytes, name: str, limits: MediaLimits) -> BinaryIO:
    stream = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else open_local(source)
    length = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if limits.image_bytes is not None and length > limits.image_bytes:
        start = stream.read(_PREFIX_BYTES)
        stream.close()
        if not _begins_as_image(start):
            # a clip may be as large as it likes
            raise MediaError(name, "not_media", f"{length} bytes that do not begin as an image does")
        raise MediaError(name, "limit", f"{length} bytes are above the limit of {limits.image_bytes}")
    return stream


def _begins_as_image(start: bytes) -> bool:
    """Return whether a file's first bytes are those of an array or of one of FORMATS; TGA has none of its own."""
    Image.init()
    accepts = [Image.OPEN[name][1] for name in FORMATS]
    return start.startswith(NPY_MAGIC) or any(accept(start) for accept in accepts if accept is not None)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn the errors of PIL's readers into one that names the file."""
    try:
        yield
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        hint = f"known are {', '.join(FORMATS)} and .npy"
        raise MediaError(name, "not_media", "not an image of a known format", hint) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise MediaError(name, "limit", str(error).split(", could be")[0] or "more memory than there is") from error
    except _DAMAGE as error:
        words = str(error)
        kind = "truncated" if "truncated" in words else "limit" if "too large" in words else "damaged"
        raise MediaError(name, kind, f"cannot be decoded ({words or type(error).__name__})") from error


def _check_size(image: Image.Image, name: str, limits: MediaLimits) -> None:
    if image.width < 1 or image.height < 1:
        raise MediaError(name, "empty", f"empty image of {image.width}x{image.height} pixels")
    if limits.pixels is not None and image.width * image.height > limits.pixels:
        found = f"{image.width}x{image.height} pixels are above the limit of {limits.pixels}"
        raise MediaError(name, "limit", found)


def _check_scans(image: Image.Image, name: str, limits: MediaLimits) -> None:
    """Refuse a progressive JPEG whose scans add up to far more work than its pixels."""
    if limits.pixels is None or not image.info.get("progressive") or image.format not in ("JPEG", "MPO"):
        return
    stream = image.fp
    if stream is None:
        return
    start = stream.tell()
    stream.seek(0)
    scans = stream.read().count(_SCAN_MARKER)
    stream.seek(start)
    if scans > _SCANS and scans * image.width * image.height > _SCANS * limits.pixels:
        found = f"{scans} scans of {image.width}x{image.height} pixels"
        raise MediaError(name, "limit", found, f"allowed are {_SCANS} scans of as many pixels as the limit")


def _check_sums(image: Image.Image, name: str) -> None:
    """Refuse an image whose pixels do not fit the checksums that its file has, where PIL does not compare them."""
    if image.format == "PNG" and image.fp is not None:
        check_chunks(image.fp, name)
    elif isinstance(image, TiffImageFile):
        check_strips(image, name)


def orientation(image: Image.Image) -> int:
    """Return how an image is to be turned, by its EXIF tag: 1 (as it is) to 8, or 1 where it says nothing readable."""
    try:
        # the base class's reader: the one for PNG would decode the pixels first
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except _DAMAGE:
        # metadata that says nothing readable does not spoil the pixels
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


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
    if stream.read(8) != SIGNATURE:
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
    # PIL scales a PPM of more than 8 bits to 16, in wider numbers
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _grey_of_16_bits(image)
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating point numbers"
        raise MediaError(name, "values", f"pixels are {kind}")
    if image.mode == "LAB":
        raise MediaError(name, "unsupported", "colours are CIE Lab", "convert it to RGB first")
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", pixels.size, _WHITE), pixels).convert("RGB")
    return image.convert("RGB")


def _grey_of_16_bits(image: Image.Image) -> Image.Image:
    pixels_HW = np.asarray(image)
    grey_HW = (pixels_HW >> 8).astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey_HW[pixels_HW == clear] = 255
    return Image.fromarray(grey_HW).convert("RGB")


def _name(source: Source) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if isinstance(source, np.ndarray):
        return "<array>"
    return "<image>" if isinstance(source, Image.Image) else str(source)
