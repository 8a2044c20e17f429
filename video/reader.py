"""Open a local video file and read frames by index, exactly.

"auto" takes decord where its frames are exact and PyAV elsewhere; the clip says which one it was, and why.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from video.clip import ClipMeta, VideoClip, VideoSpec
from video.errors import MediaError
from video.local import local_file
from video.sampling import sample

if TYPE_CHECKING:
    from video.packets import PacketIndex

Backend = Literal["auto", "decord", "pyav"]
Path = str | os.PathLike[str]


class FrameReader(Protocol):
    """A clip that can be read; nothing stays open between calls."""

    name: str

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        ...

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return frames by index, upright, with their times; MediaError when one of them cannot be had."""
        ...


def open_clip_reader(path: Path, backend: Backend = "auto") -> FrameReader:
    """Return a reader of a local video file. Its packets are indexed now; frames are decoded by `read`.

    Raises MediaError for anything that is not a whole local video file, and for backend="decord" where its frames
    would not be exact.
    """
    # decoders are imported on first use: planning without a clip needs none
    from video.decord_reader import DecordReader
    from video.packets import index_packets
    from video.pyav_reader import PyAvReader

    index = index_packets(local_file(path))
    if backend == "pyav":
        return PyAvReader(index)
    if backend == "decord":
        return DecordReader(index)
    if backend == "auto":
        return AutoReader(index)
    raise ValueError(f"backend: expected 'auto', 'decord' or 'pyav', got {backend!r}")


def clip_meta(path: Path) -> ClipMeta:
    """Return frame count, rate, size (rotation applied) and duration of a local video file, from its packets."""
    from video.packets import index_packets

    return index_packets(local_file(path)).meta


def load_clip(path: Path, video: VideoSpec, backend: Backend = "auto") -> VideoClip:
    """Return the frames of a local video file that a spec asks for."""
    reader = open_clip_reader(path, backend)
    return reader.read(sample(reader.meta, video))


class AutoReader:
    """decord where it is exact, else PyAV; a fallback is recorded in VideoClip.reader."""

    name = "auto"

    def __init__(self, index: "PacketIndex") -> None:
        self.index = index

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        return self.index.meta

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return frames by index; VideoClip.reader is "decord", or "pyav (...)" with the reason in brackets."""
        from dataclasses import replace

        from video.decord_reader import DecordReader, why_not_exact
        from video.pyav_reader import PyAvReader

        reason = why_not_exact(self.index)
        if reason is None:
            try:
                return DecordReader(self.index).read(indices)
            except MediaError as error:
                note = f"decord failed: {error.detail}"
        else:
            note = f"decord is not exact here: {reason}"
        clip = PyAvReader(self.index).read(indices)
        return replace(clip, reader=f"pyav ({note})")
