"""A clip that is a folder of pictures, one a frame."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from anyres.decode import image_size, open_image
from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, VideoClip
from video.errors import MediaError
from video.timeline import Timeline

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


def frame_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the pictures of a folder in order of their names, numbers in them compared as numbers.

    Raises MediaError where it is no folder or holds no picture.
    """
    folder = Path(folder)
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (OSError, ValueError) as error:
        raise MediaError(folder, "missing", "no such folder of frames") from error
    if not is_folder:
        raise MediaError(folder, "not_a_file", "expected a folder of frames", "give a folder of pictures, one a frame")
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    if not files:
        raise MediaError(folder, "no_frames", "holds no pictures; expected the frames of a clip")
    return sorted(files, key=_order)


class FolderReader:
    """Reads a folder of pictures, `fps` to the second; their sizes must be equal. Nothing stays open between calls."""

    name = "frames"

    def __init__(self, folder: str | os.PathLike[str], fps: float, limits: MediaLimits = LIMITS) -> None:
        if not fps > 0:
            raise ValueError(f"{folder}: expected frames per second above 0, got {fps}")
        self._files = frame_files(folder)
        count = len(self._files)
        meta = ClipMeta(num_frames=count, fps=fps, size=image_size(self._files[0], limits), duration_s=count / fps)
        times = tuple(frame / fps for frame in range(count))
        self.timeline = Timeline(path=os.fspath(folder), meta=meta, times_s=times, limits=limits)

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header: its size is that of the first picture."""
        return self.timeline.meta

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return the frames of `indices` (any order, repeats allowed), upright, with their times.

        Raises MediaError for a picture that cannot be read, or of another size than the first.
        """
        wanted = self.timeline.checked(indices)
        unique = sorted(set(wanted))
        frames_UHWC = np.empty((len(unique), *self.meta.size, 3), dtype=np.uint8)
        for position, frame in enumerate(unique):
            frames_UHWC[position] = self._picture(self._files[frame])
        return self.timeline.assemble(wanted, unique, frames_UHWC, self.name)

    def _picture(self, file: Path) -> ndarray:
        picture_HWC = np.asarray(open_image(file, self.timeline.limits))
        h, w = picture_HWC.shape[:2]
        if (h, w) != self.meta.size:
            size = self.meta.size
            detail = f"its pictures have different sizes, as {size.w}x{size.h} and {w}x{h}; expected frames of one clip"
            raise MediaError(self.timeline.path, "unsupported", detail, f"look at {file.name}")
        return picture_HWC


def _order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a key by which frame_2 comes before frame_10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name
