"""What all readers share: when frames are shown, which frame a time or a span means, and what may be asked.

Frame k is the k-th one shown; its time is in seconds after frame 0. The frame of a time is the one on screen then.

Legend: U distinct frames wanted, F frames, H W pixels, C channels.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, Flag, VideoClip
from video.errors import MediaError

if TYPE_CHECKING:
    from numpy import ndarray

# times are sums and quotients of floats: 0.1 * 3 must find the frame at 0.3
TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The frames of one medium: its header, the time of each frame in seconds (rising from 0), and what is odd.

    It belongs to the process that made it, or that unpickled it.
    """

    path: str
    meta: ClipMeta
    times_s: tuple[float, ...]
    flags: tuple[Flag, ...] = ()
    limits: MediaLimits = LIMITS
    _process: int = field(default_factory=os.getpid, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return _timeline, (self.path, self.meta, self.times_s, self.flags, self.limits)

    def frame_at(self, time_s: float) -> int:
        """Return the frame on screen at a time: the last one that begins by then.

        Raises ValueError for a time outside 0 to the clip's duration.
        """
        if not -TOLERANCE_S <= time_s <= self.meta.duration_s + TOLERANCE_S:
            raise ValueError(f"{self.path}: {time_s} s asked for, the clip has 0 to {self.meta.duration_s:.3f} s")
        return max(0, bisect_right(self.times_s, time_s + TOLERANCE_S) - 1)

    def inside(self, span: tuple[float, float]) -> tuple[int, int]:
        """Return the first frame that begins in a span of seconds, ends included, and how many do.

        Where none does, it is the one on screen at its start. MediaError where the span is beyond the clip.
        """
        start, end = span
        if not 0 <= start <= end:
            raise ValueError(f"{self.path}: expected a span of seconds [start, end], got {list(span)}")
        first = bisect_left(self.times_s, start - TOLERANCE_S)
        count = bisect_right(self.times_s, end + TOLERANCE_S) - first
        if count > 0:
            return first, count
        if start > self.meta.duration_s:
            detail = f"no frame between {start} s and {end} s; it lasts {self.meta.duration_s:.2f} s"
            raise MediaError(self.path, "no_frames", detail)
        return self.frame_at(start), 1

    def cut(self, span: tuple[float, float]) -> ClipMeta:
        """Return the header of the clip that a span of seconds would be if it was cut out."""
        seconds = min(span[1], self.meta.duration_s) - span[0]
        return replace(self.meta, num_frames=self.inside(span)[1], duration_s=max(0.0, seconds))

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
    path: str, meta: ClipMeta, times_s: tuple[float, ...], flags: tuple[Flag, ...], limits: MediaLimits
) -> Timeline:
    return Timeline(path=path, meta=meta, times_s=times_s, flags=flags, limits=limits)
