"""Decode one medium of a task: an upright image, or the frames of a clip, of a part of it, or of a folder of frames.

Imports no torch: decoder processes start in a moment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from PIL import Image

from anyres.decode import open_image
from anyres.errors import MediaError
from anyres.geometry import HW
from evals.ahead import MediaFailed
from evals.sample import IMAGE_SUFFIXES, Media
from video.clip import ClipMeta, VideoClip, VideoSpec
from video.local import local_file
from video.packets import index_packets
from video.reader import Backend, load_clip, open_clip_reader
from video.sampling import sample

if TYPE_CHECKING:
    from pathlib import Path


def decode(media: Media, video: VideoSpec, reader: Backend = "auto") -> Image.Image | VideoClip:
    """Return what `media` names: for a video, the frames that `video` asks for.

    A span is read as the clip that was cut there: frames are chosen inside it, and times count from its start. Raises
    MediaFailed for a medium that cannot be read.
    """
    if media.draw is not None:
        return _drawn(media, media.draw)
    assert media.path is not None
    try:
        if media.kind == "image":
            return open_image(media.path)
        if media.fps is not None:
            return _frames(media, media.path, media.fps, video)
        if media.span is None:
            return load_clip(media.path, video, reader)
        return _part(media.path, media.span, video, reader)
    except MediaError as error:
        raise MediaFailed(str(error)) from error


def _drawn(media: Media, draw: Callable[[], object]) -> Image.Image | VideoClip:
    try:
        drawn = draw()
    except MediaError as error:
        raise MediaFailed(str(error)) from error
    if not isinstance(drawn, Image.Image | VideoClip):
        raise TypeError(f"{media.key}: drew a {type(drawn).__name__}, expected an image or a clip")
    return drawn


def _part(path: Path, span: tuple[float, float], video: VideoSpec, reader: Backend) -> VideoClip:
    """Return frames of a video file between two times, by the file's own timestamps."""
    index = index_packets(local_file(path))
    first, count = _inside([index.time_s(frame) for frame in range(index.num_frames)], span)
    if count == 0:
        raise MediaFailed(
            f"{path}: no frame between {span[0]} s and {span[1]} s; it lasts {index.meta.duration_s:.2f} s"
        )
    meta = _cut(index.meta, count, span)
    clip = open_clip_reader(path, reader).read([first + frame for frame in sample(meta, video)])
    return replace(clip, times_F=clip.times_F - span[0], meta=meta)


def _frames(media: Media, folder: Path, fps: float, video: VideoSpec) -> VideoClip:
    """Return frames out of a folder of pictures, sorted by name, `fps` to the second."""
    if not folder.is_dir():
        raise MediaFailed(f"{folder}: no such folder of frames")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise MediaFailed(f"{folder}: holds no pictures; expected the frames of a clip")
    span = media.span or (0.0, len(files) / fps)
    first, count = _inside([number / fps for number in range(len(files))], span)
    if count == 0:
        raise MediaFailed(
            f"{folder}: no frame between {span[0]} s and {span[1]} s; it has {len(files)} at {fps} a second"
        )
    size = HW(1, 1)
    meta = _cut(ClipMeta(num_frames=len(files), fps=fps, size=size, duration_s=len(files) / fps), count, span)
    indices = tuple(first + frame for frame in sample(meta, video))
    pictures = {index: _picture(files[index]) for index in sorted(set(indices))}
    sizes = {picture.shape for picture in pictures.values()}
    if len(sizes) > 1:
        found = " and ".join(f"{w}x{h}" for h, w, _ in sorted(sizes)[:2])
        raise MediaFailed(f"{folder}: its pictures have different sizes, as {found}; expected frames of one clip")
    frames_FHWC = np.stack([pictures[index] for index in indices])
    return VideoClip(
        frames_FHWC=frames_FHWC,
        times_F=np.array([index / fps - span[0] for index in indices]),
        indices=indices,
        reader="frames",
        meta=replace(meta, size=HW(*frames_FHWC.shape[1:3])),
    )


def _inside(times: list[float], span: tuple[float, float]) -> tuple[int, int]:
    """Return the first frame at or after the start, and how many there are up to the end."""
    first = bisect_left(times, span[0])
    return first, max(0, bisect_right(times, span[1]) - first)


def _cut(meta: ClipMeta, count: int, span: tuple[float, float]) -> ClipMeta:
    return replace(meta, num_frames=count, duration_s=min(span[1], meta.duration_s) - span[0])


def _picture(path: Path) -> ndarray:
    return np.asarray(open_image(path))
