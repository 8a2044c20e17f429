"""Open a clip and read frames by index or time, exactly: a video file, an animated picture, a folder or an array.

"auto" takes PyAV, which is exact for every file that can be indexed, and PIL for animated pictures. The other backends
are exact for some files, refuse the rest, and stand in where PyAV dies in a worker (video/worker.py).
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from anyres.checksums import check_file
from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, VideoClip, VideoSpec
from video.errors import MediaError
from video.local import local_file
from video.sampling import sample
from video.timeline import Timeline

if TYPE_CHECKING:
    from numpy import ndarray

    from anyres.geometry import HW
    from anyres.grid import TileSpec

Backend = Literal["auto", "pyav", "torchcodec", "decord"]
Path = str | os.PathLike[str]
BACKENDS = ("pyav", "torchcodec", "decord")


class FrameReader(Protocol):
    """A clip that can be read; nothing stays open between calls, and it belongs to the process that opened it."""

    name: str
    timeline: Timeline

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        ...

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return frames by index, upright, with their times; MediaError when one of them cannot be had."""
        ...


def open_clip_reader(
    source: "Path | ndarray",
    backend: Backend = "auto",
    *,
    fps: float | None = None,
    partial: bool = False,
    limits: MediaLimits = LIMITS,
) -> FrameReader:
    """Return a reader of a local video file, an animated picture, a folder of frames, or an array [F, H, W, 3].

    A file's packets are indexed now; frames are decoded by `read`. fps: frames per second of a folder or an array,
    which do not tell. partial: read what there is of a file that was cut off, flagged "count", instead of refusing it.

    Raises MediaError for anything that is not a whole clip, and for a backend whose frames would not be exact.
    """
    if backend not in ("auto", *BACKENDS):
        raise ValueError(f"backend: expected 'auto', {', '.join(map(repr, BACKENDS))}, got {backend!r}")
    if fps is not None:
        return _of_frames(source, fps, limits)
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        raise ValueError(f"fps: expected frames per second for a {type(source).__name__}, which does not tell")
    return _of_file(source, backend, partial, limits)


def _of_frames(source: "Path | ndarray", fps: float, limits: MediaLimits) -> FrameReader:
    from video.array_reader import ArrayReader
    from video.folder_reader import FolderReader

    if isinstance(source, str | os.PathLike):
        return FolderReader(source, fps, limits)
    return ArrayReader(source, fps, limits)


def _of_file(source: Path, backend: Backend, partial: bool, limits: MediaLimits) -> FrameReader:
    # decoders are imported on first use: planning without a clip needs none
    file = local_file(source)
    if limits.clip_bytes is not None and file.stat().st_size > limits.clip_bytes:
        found = f"a file of {file.stat().st_size} bytes, more than {limits.clip_bytes}"
        raise MediaError(file, "limit", found)
    check_file(file, limits)
    from video.picture_reader import PictureReader, is_picture

    if is_picture(file):
        if backend != "auto":
            found = f"{backend} does not compose the frames of animated pictures"
            raise MediaError(file, "not_exact", found)
        return PictureReader(file, limits)
    from video.packets import index_packets

    # the others seek by the packets' own marks, whatever tables tell
    index = index_packets(file, partial, tables=backend in ("auto", "pyav"))
    if backend == "torchcodec":
        from video.torchcodec_reader import TorchCodecReader

        return TorchCodecReader(index, limits)
    if backend == "decord":
        from video.decord_reader import DecordReader

        return DecordReader(index, limits)
    from video.pyav_reader import PyAvReader

    return PyAvReader(index, limits)


def clip_meta(path: Path) -> ClipMeta:
    """Return frame count, rate, size (rotation applied) and duration of a clip, from its packets."""
    return open_clip_reader(path).meta


def load_clip(
    source: "Path | ndarray",
    video: VideoSpec,
    backend: Backend = "auto",
    span: tuple[float, float] | None = None,
    *,
    fps: float | None = None,
    partial: bool = False,
    limits: MediaLimits = LIMITS,
    tile: "TileSpec | None" = None,
) -> VideoClip:
    """Return the frames of a clip that a spec asks for. fps, partial and limits: see open_clip_reader.

    tile: what they will be shown on; they are then resized as they are decoded, where that changes no pixel of any tile
    (video.early), so that the clip does not hold full pictures.

    span: the part between two times in seconds, as if it had been cut out: frames are chosen inside it, times and the
    clip's header count from its start; `indices` still number the frames of the source.
    """
    reader = open_clip_reader(source, backend, fps=fps, partial=partial, limits=limits)
    timeline = reader.timeline
    # checks the span too, so that it is the file's error
    meta = None if span is None else timeline.cut(span)
    indices = sample(timeline.meta, video, timeline.times_s, timeline.keyframes, span)
    clip = read_early(reader, indices, video, tile)
    if span is None or meta is None:
        return clip
    return replace(clip, times_F=(clip.times_F - span[0]).clip(min=0.0), meta=meta)


def read_early(
    reader: FrameReader, indices: Sequence[int], video: VideoSpec, tile: "TileSpec | None" = None
) -> VideoClip:
    """Return frames by index, of the size that video.decode_px gives them.

    tile: without a decode_px, resized to what a tile shows of them where that changes no pixel of the tile.
    """
    from video.early import early_size

    shown = video.shown(reader.meta.size)
    if tile is None:
        return read_at_size(reader, indices, None if shown == reader.meta.size else shown)
    return read_at_size(reader, indices, early_size(reader.meta.size, video, tile))


def read_at_size(reader: FrameReader, indices: Sequence[int], size: "HW | None") -> VideoClip:
    """Return frames by index, resized as plans resize (video.early), or as they are where `size` is None."""
    if size is None:
        return reader.read(indices)
    import numpy as np

    from video.early import resized
    from video.pyav_reader import PyAvReader

    if isinstance(reader, PyAvReader):
        return reader.read(indices, size)
    clip = reader.read(indices)
    return replace(clip, frames_FHWC=np.stack([resized(frame_HWC, size) for frame_HWC in clip.frames_FHWC]))


def read_at(reader: FrameReader, times_s: Sequence[float]) -> VideoClip:
    """Return the frames on screen at times in seconds; their own times, at or before those, are in the result."""
    return reader.read([reader.timeline.frame_at(time) for time in times_s])
