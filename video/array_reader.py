"""Frames that are in memory already."""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, VideoClip
from video.errors import MediaError
from video.timeline import Timeline

NAME = "<array>"


class ArrayReader:
    """Reads an array [F, H, W, 3] of uint8 RGB, `fps` frames to the second; it is not copied before it is read."""

    name = "array"

    def __init__(self, frames_FHWC: ndarray, fps: float, limits: MediaLimits = LIMITS) -> None:
        if not fps > 0:
            raise ValueError(f"fps: expected frames per second above 0, got {fps}")
        shape = frames_FHWC.shape
        if frames_FHWC.ndim != 4 or shape[-1] != 3 or 0 in shape[1:]:
            hint = "give frames as [frames, height, width, 3]"
            raise MediaError(NAME, "shape", f"an array of shape {list(shape)}", hint)
        if shape[0] == 0:
            raise MediaError(NAME, "no_frames", f"an array of shape {list(shape)}")
        if frames_FHWC.dtype != np.uint8:
            raise MediaError(NAME, "values", f"pixels of type {frames_FHWC.dtype}", "give RGB of type uint8, 0 to 255")
        self._frames_FHWC = frames_FHWC
        count = shape[0]
        meta = ClipMeta(num_frames=count, fps=fps, size=HW(shape[1], shape[2]), duration_s=count / fps)
        times = tuple(frame / fps for frame in range(count))
        self.timeline = Timeline(path=NAME, meta=meta, times_s=times, limits=limits)

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        return self.timeline.meta

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return the frames of `indices` (any order, repeats allowed), with their times."""
        wanted = self.timeline.checked(indices)
        unique = sorted(set(wanted))
        return self.timeline.assemble(wanted, unique, self._frames_FHWC[unique], self.name)
