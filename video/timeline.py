"""What all readers share: when frames are shown, which frame a time means, and what may be asked.

Frame k is the k-th one shown; its time is in seconds after frame 0. The frame of a time is the one on screen then.

Legend: U distinct frames wanted, F frames, H W pixels, C channels.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, Flag, VideoClip
from video.errors import MediaError
from video.sampling import TOLERANCE_S, Frames, cut, frame_at

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The frames of one medium: its header, the time of each frame in seconds (rising from 0), and what is odd.

    keyframes: frames at which decoding can start, None where that is not known. It belongs to the process that made it,
    or that unpickled it.
    """

    path: str
    meta: ClipMeta
    times_s: tuple[float, ...]
    keyframes: tuple[int, ...] | None = None
    flags: tuple[Flag, ...] = ()
    limits: MediaLimits = LIMITS
    _process: int = field(default_factory=os.getpid, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return _timeline, (self.path, self.meta, self.times_s, self.keyframes, self.flags, self.limits)

    def frame_at(self, time_s: float) -> int:
        """Return the frame on screen at a time: the last one that begins by then.

        Raises ValueError for a time outside 0 to the clip's duration.
        """
        if not -TOLERANCE_S <= time_s <= self.meta.duration_s + TOLERANCE_S:
            raise ValueError(f"{self.path}: {time_s} s asked for, the clip has 0 to {self.meta.duration_s:.3f} s")
        return frame_at(self.times_s, time_s)

    def cut(self, span: tuple[float, float]) -> ClipMeta:
        """Return the header of the clip that a span of seconds would be if it was cut out.

        Raises MediaError for one that begins behind the end, ValueError for one that is none.
        """
        if span[0] > self.meta.duration_s:
            detail = f"no frame between {span[0]} s and {span[1]} s; it lasts {self.meta.duration_s:.2f} s"
            raise MediaError(self.path, "no_frames", detail)
        return cut(Frames(meta=self.meta, shown_s=self.times_s, keyframes=None), span)[1].meta

    def checked(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return indices that may be read, as a tuple.

        Raises ValueError when there are none or one is outside the clip, RuntimeError in a process that a fork made,
        MediaError for more frames or bytes than the limits allow.
        """
        if self._process != os.getpid():
            detail = "a reader does not survive a fork: open the clip in the process that reads it"
            raise RuntimeError(f"{self.path}: opened in process {self._process}, used in {os.getpid()}; {detail}")
        wanted = tuple(int(frame) for frame in indices)
        if not wanted:
            raise ValueError(f"{self.path}: expected at least one frame index")
        wrong = [frame for frame in wanted if not 0 <= frame < self.meta.num_frames]
        if wrong:
            raise ValueError(f"{self.path}: frame {wrong[0]} asked for, the clip has 0 to {self.meta.num_frames - 1}")
        self._check_cost(len(wanted))
        return wanted

    def assemble(
        self,
        wanted: tuple[int, ...],
        unique: Sequence[int],
        frames_UHWC: "ndarray",
        reader: str,
        flags: tuple[Flag, ...] = (),
    ) -> VideoClip:
        """Return the clip of the frames wanted, from its distinct frames in rising order."""
        import numpy as np

        position = {frame: i for i, frame in enumerate(unique)}
        order = [position[frame] for frame in wanted]
        return VideoClip(
            frames_FHWC=frames_UHWC if order == list(range(len(unique))) else frames_UHWC[order],
            times_F=np.array([self.times_s[frame] for frame in wanted], dtype=np.float64),
            indices=wanted,
            reader=reader,
            meta=self.meta,
            flags=tuple(dict.fromkeys((*self.flags, *flags))),
        )

    def _check_cost(self, num_frames: int) -> None:
        limits, size = self.limits, self.meta.size
        if limits.pixels is not None and size.h * size.w > limits.pixels:
            found = f"frames of {size.w}x{size.h} pixels, more than {limits.pixels}"
            raise MediaError(self.path, "limit", found)
        if limits.frames is not None and num_frames > limits.frames:
            raise MediaError(self.path, "limit", f"{num_frames} frames asked for, more than {limits.frames}")
        nbytes = num_frames * size.h * size.w * 3
        if limits.frame_bytes is not None and nbytes > limits.frame_bytes:
            found = f"{num_frames} frames of {size.w}x{size.h} take {nbytes} bytes, more than {limits.frame_bytes}"
            raise MediaError(self.path, "limit", found)


def _timeline(
    path: str,
    meta: ClipMeta,
    times_s: tuple[float, ...],
    keyframes: tuple[int, ...] | None,
    flags: tuple[Flag, ...],
    limits: MediaLimits,
) -> Timeline:
    return Timeline(path=path, meta=meta, times_s=times_s, keyframes=keyframes, flags=flags, limits=limits)
