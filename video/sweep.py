"""Read a clip once for several settings: the frames that any of them asks for are decoded together."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anyres.limits import LIMITS, MediaLimits
from video.clip import VideoClip, VideoSpec
from video.reader import Backend, open_clip_reader
from video.sampling import sample


def load_sweep(
    path: str | os.PathLike[str],
    videos: Sequence[VideoSpec],
    backend: Backend = "auto",
    limits: MediaLimits = LIMITS,
) -> tuple[VideoClip, ...]:
    """Return what load_clip gives for each of `videos`, out of one decoding of the frames that any of them asks for.

    Raises MediaError and ValueError as load_clip does; a frame that does not decode fails all of them.
    """
    reader = open_clip_reader(path, backend, limits=limits)
    timeline = reader.timeline
    asked = [tuple(sample(timeline.meta, video, timeline.times_s, timeline.keyframes)) for video in videos]
    union = sorted({frame for indices in asked for frame in indices})
    if not union:
        return ()
    return subsets(reader.read(union), asked)


def subsets(clip: VideoClip, asked: Sequence[Sequence[int]]) -> tuple[VideoClip, ...]:
    """Return clips of some of the frames of `clip`, by the indices that they have in the file."""
    place = {frame: row for row, frame in enumerate(clip.indices)}
    found = []
    for indices in asked:
        rows = np.array([place[frame] for frame in indices])
        kept = {"frames_FHWC": clip.frames_FHWC[rows], "times_F": clip.times_F[rows], "indices": tuple(indices)}
        found.append(replace(clip, **kept))
    return tuple(found)
