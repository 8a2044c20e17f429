"""Animated pictures as clips: GIF, WebP and PNG, through PIL, which composes their frames.

Legend: U distinct frames wanted, H W pixels, C channels.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from anyres.decode import open_image
from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits
from anyres.png_chunks import check_chunks
from video.clip import ClipMeta, VideoClip
from video.errors import MediaError
from video.gif import gif_frames
from video.timeline import Timeline

FORMATS = ("GIF", "WEBP", "PNG")
# a delay of none, or one shorter than this in a GIF, is shown as the other, as browsers do
SHORTEST_GIF_MS, DEFAULT_MS = 20, 100
# PIL's readers raise any of these on damaged bytes
_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip


def is_picture(path: Path) -> bool:
    """Tell from its first bytes whether a file is a GIF, WebP or PNG."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] == b"GIF8" or start[:8] == b"\x89PNG\r\n\x1a\n" or (start[:4], start[8:]) == (b"RIFF", b"WEBP")


class PictureReader:
    """Reads an animated picture; transparency is shown on white. Nothing stays open between calls."""

    name = "pillow"

    def __init__(self, path: Path, limits: MediaLimits = LIMITS) -> None:
        self.path = path
        with _opened(path) as image:
            if image.width * image.height > (limits.pixels or image.width * image.height):
                found = f"{image.width}x{image.height} pixels are above the limit of {limits.pixels}"
                raise MediaError(path, "limit", found)
            if image.format == "GIF":
                _check_gif(path)
            if image.format == "PNG":
                _check_png(path)
            count = int(getattr(image, "n_frames", 1))
            if count < 2:
                raise MediaError(path, "no_video", "a still picture", "open it as an image")
            starts_ms = [0.0]
            for frame in range(count):
                image.seek(frame)
                # WebP tells how long a frame is shown only now
                image.load()
                starts_ms.append(starts_ms[-1] + _delay_ms(image))
            size = open_image(image.copy(), limits).size
        seconds = starts_ms.pop() / 1000
        meta = ClipMeta(num_frames=count, fps=count / seconds, size=HW(size[1], size[0]), duration_s=seconds)
        times = tuple(start / 1000 for start in starts_ms)
        self.timeline = Timeline(path=str(path), meta=meta, times_s=times, limits=limits)

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        return self.timeline.meta

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return the frames of `indices` (any order, repeats allowed), with their times; MediaError for damage."""
        wanted = self.timeline.checked(indices)
        unique = sorted(set(wanted))
        frames_UHWC = np.empty((len(unique), *self.meta.size, 3), dtype=np.uint8)
        with _opened(self.path) as image:
            for position, frame in enumerate(unique):
                image.seek(frame)
                frames_UHWC[position] = self._picture(image)
        return self.timeline.assemble(wanted, unique, frames_UHWC, self.name)

    def _picture(self, image: Image.Image) -> ndarray:
        picture_HWC = np.asarray(open_image(image.copy(), self.timeline.limits))
        if picture_HWC.shape[:2] != self.meta.size:
            raise MediaError(self.path, "unsupported", "its pictures change size")
        return picture_HWC


def _check_gif(path: Path) -> None:
    frames, whole = gif_frames(path)
    if not whole:
        raise MediaError(path, "truncated", f"cut off after {frames} frames: the end mark is missing")


def _check_png(path: Path) -> None:
    with path.open("rb") as file:
        check_chunks(file, str(path))


def _delay_ms(image: Image.Image) -> float:
    """Return how long the present frame is shown."""
    delay = float(image.info.get("duration", 0))
    shortest = SHORTEST_GIF_MS if image.format == "GIF" else 0
    return delay if delay > 0 and delay >= shortest else DEFAULT_MS


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; its readers' errors become one that names the file."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(path, "not_media", "not a picture of a known format") from error
    except Image.DecompressionBombError as error:
        raise MediaError(path, "limit", str(error)) from error
    except _DAMAGE as error:
        raise MediaError(path, "damaged", f"cannot be decoded ({error})") from error
