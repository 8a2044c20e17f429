"""Which frames of a clip are looked at, and when they are. Integers and floats only."""

from collections.abc import Sequence

from video.clip import ClipMeta, VideoSpec


def sample(meta: ClipMeta, video: VideoSpec) -> tuple[int, ...]:
    """Return the indices of the frames to read, in rising order; short clips may repeat frames.

    Raises ValueError for a clip without frames.
    """
    if meta.num_frames < 1:
        raise ValueError(f"sampling: expected a clip of at least 1 frame, got {meta.num_frames}")
    if video.policy == "uniform":
        return uniform_indices(meta.num_frames, video.num_frames)
    if video.policy == "interior":
        return interior_indices(meta.num_frames, video.num_frames)
    if video.policy == "segment_mid":
        return segment_mid_indices(meta.num_frames, video.num_frames)
    assert video.policy == "fps" and video.fps is not None
    return fps_indices(meta.num_frames, meta.fps, video.fps, video.num_frames)


def uniform_indices(total: int, count: int) -> tuple[int, ...]:
    """Return trunc(linspace(0, total - 1, count)): first and last frame included, repeats when total < count.

    This is the released rule. The arithmetic is numpy's, in double precision: k * step, the end set exactly.
    """
    if count == 1:
        return (0,)
    step = (total - 1) / (count - 1)
    return (*(int(k * step) for k in range(count - 1)), total - 1)


def fps_indices(
    total: int, clip_fps: float, wanted_fps: float, cap: int, force_sample: bool = False
) -> tuple[int, ...]:
    """Return every round(clip_fps / wanted_fps)-th frame, or uniform_indices(total, cap) if those are more than cap.

    force_sample: take uniform_indices in any case, as the released switch of that name does. Rounding is half to
    even; a step of 0 (fewer than half of the wanted frames per second exist) is taken as 1.
    """
    step = max(1, round(clip_fps / wanted_fps))
    indices = tuple(range(0, total, step))
    if force_sample or len(indices) > cap:
        return uniform_indices(total, cap)
    return indices


def interior_indices(total: int, count: int) -> tuple[int, ...]:
    """Return floor(k * total / (count + 1)) for k = 1 ... count: neither end of the clip."""
    return tuple(k * total // (count + 1) for k in range(1, count + 1))


def segment_mid_indices(total: int, count: int) -> tuple[int, ...]:
    """Return the middles of `count` segments of width w = (total - 1) / count: floor(w / 2 + round(w * k))."""
    width = (total - 1) / count
    return tuple(int(width / 2 + round(width * k)) for k in range(count))


def frame_times(indices: Sequence[int], fps: float) -> tuple[float, ...]:
    """Return the seconds at which frames of a constant-rate clip are shown, index / fps.

    The released loader divides by the sampling step instead in its fps branch (see released_frame_times). For a
    variable rate read the clip: VideoClip.times_F holds the file's own timestamps.
    """
    return tuple(index / fps for index in indices)


def released_frame_times(indices: Sequence[int], clip_fps: float, wanted_fps: float) -> tuple[float, ...]:
    """Return index / step, which the released loader tells the model in its fps branch; for parity with its data only.

    The values are seconds only when wanted_fps is 1, and then with clip_fps rounded (29.97 counts as 30).
    """
    step = max(1, round(clip_fps / wanted_fps))
    return tuple(index / step for index in indices)


def time_instruction(duration_s: float, times: Sequence[float]) -> str:
    """Return the sentence that tells a model how long the clip is and when its frames are, as released."""
    located = ",".join(f"{time:.2f}s" for time in times)
    return (
        f"The video lasts for {duration_s:.2f} seconds, and {len(times)} frames are uniformly sampled from it. "
        f"These frames are located at {located}.Please answer the following questions related to this video."
    )
