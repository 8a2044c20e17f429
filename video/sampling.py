"""Which frames of a clip are looked at, and when they are. Integers and floats only."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

from video.clip import ClipMeta, VideoSpec

# times are sums and quotients of floats: 0.1 * 3 must find the frame at 0.3
TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames to choose from. shown_s: when each is shown, rising from 0; None: at a constant rate.

    keyframes: where decoding can start, None where that is not known.
    """

    meta: ClipMeta
    shown_s: Sequence[float] | None
    keyframes: Sequence[int] | None

    @property
    def times_s(self) -> Sequence[float]:
        """Return when each frame is shown, in seconds."""
        return _Steady(self.meta) if self.shown_s is None else self.shown_s


class _Steady(Sequence[float]):
    """The times of frames at a constant rate, computed when they are asked for: an hour has a hundred thousand."""

    def __init__(self, meta: ClipMeta) -> None:
        self._meta = meta

    def __len__(self) -> int:
        return self._meta.num_frames

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> list[float]: ...

    def __getitem__(self, index: int | slice) -> float | list[float]:
        found = range(self._meta.num_frames)[index]
        return found / self._meta.fps if isinstance(found, int) else [frame / self._meta.fps for frame in found]


def sample(
    meta: ClipMeta,
    video: VideoSpec,
    times_s: Sequence[float] | None = None,
    keyframes: Sequence[int] | None = None,
    span: tuple[float, float] | None = None,
) -> tuple[int, ...]:
    """Return the indices of the frames to read, in rising order; short clips may repeat frames.

    times_s: when each frame is shown, in seconds after the first; None: at a constant rate. keyframes: frames that a
    file can be entered at, which policy "keyframes" chooses from. span: seconds; frames are chosen of those that begin
    in it, as if the clip was cut there, while the indices count from the clip's beginning.

    Raises ValueError for a clip without frames, for a span or times that the clip does not have, and for a policy that
    needs more than is given.
    """
    if meta.num_frames < 1:
        raise ValueError(f"sampling: expected a clip of at least 1 frame, got {meta.num_frames}")
    if times_s is not None and len(times_s) != meta.num_frames:
        raise ValueError(f"sampling: expected a time for each of {meta.num_frames} frames, got {len(times_s)}")
    whole = Frames(meta=meta, shown_s=times_s, keyframes=keyframes)
    if span is None:
        return POLICIES[video.policy](whole, video)
    first, part = cut(whole, span)
    return tuple(first + index for index in POLICIES[video.policy](part, video))


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
    indices = range(0, total, _step(clip_fps, wanted_fps))
    if force_sample or len(indices) > cap:
        return uniform_indices(total, cap)
    return tuple(indices)


def interior_indices(total: int, count: int) -> tuple[int, ...]:
    """Return floor(k * total / (count + 1)) for k = 1 ... count: neither end of the clip."""
    return tuple(k * total // (count + 1) for k in range(1, count + 1))


def segment_mid_indices(total: int, count: int) -> tuple[int, ...]:
    """Return the middles of `count` segments of width w = (total - 1) / count: floor(w / 2 + round(w * k))."""
    width = (total - 1) / count
    return tuple(int(width / 2 + round(width * k)) for k in range(count))


def frame_at(times_s: Sequence[float], time_s: float) -> int:
    """Return the frame on screen at a time: the last one that begins by then, the first before any does."""
    return max(0, bisect_right(times_s, time_s + TOLERANCE_S) - 1)


def fps_time_indices(times_s: Sequence[float], wanted_fps: float, cap: int) -> tuple[int, ...]:
    """Return the frames on screen at 0, 1 / wanted_fps, 2 / wanted_fps ... seconds, each once.

    Where those times are more than cap, it is the frames at cap times from the first frame's to the last's. For a
    variable rate this differs from fps_indices, which counts frames.
    """
    last_s = times_s[-1]
    count = int((last_s + TOLERANCE_S) * wanted_fps) + 1
    if count <= cap:
        wanted = [k / wanted_fps for k in range(count)]
    else:
        wanted = [last_s * k / max(1, cap - 1) for k in range(cap)]
    return tuple(sorted({frame_at(times_s, time) for time in wanted}))


def segment_times(segments_s: Sequence[tuple[float, float]], count: int) -> tuple[float, ...]:
    """Return `count` times in seconds, spread over segments such as a clip's subtitles, in rising order.

    Of more segments than count, it is the middles of count of them, first and last included; of fewer, each has
    count // segments times, the first ones one more, at the middles of as many equal parts.
    """
    ordered = sorted(segments_s)
    if len(ordered) >= count:
        chosen = [(ordered[index], 1) for index in uniform_indices(len(ordered), count)]
    else:
        share, more = divmod(count, len(ordered))
        chosen = [(segment, share + (index < more)) for index, segment in enumerate(ordered)]
    spread = (start + (end - start) * (part + 0.5) / parts for (start, end), parts in chosen for part in range(parts))
    return tuple(sorted(spread))


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
    step = _step(clip_fps, wanted_fps)
    return tuple(index / step for index in indices)


def trained_times(meta: ClipMeta, video: VideoSpec, indices: Sequence[int]) -> tuple[float, ...]:
    """Return the times that the released loader would tell of these frames, right or wrong.

    It divides an index by the sampling step where policy "fps" takes every step-th frame, and by the average frame rate
    everywhere else.
    """
    if (
        video.policy == "fps"
        and video.fps
        and len(range(0, meta.num_frames, _step(meta.fps, video.fps))) <= video.num_frames
    ):
        return released_frame_times(indices, meta.fps, video.fps)
    return frame_times(indices, meta.fps)


def time_instruction(duration_s: float, times: Sequence[float]) -> str:
    """Return the sentence that tells a model how long the clip is and when its frames are, as released."""
    located = ",".join(f"{time:.2f}s" for time in times)
    return (
        f"The video lasts for {duration_s:.2f} seconds, and {len(times)} frames are uniformly sampled from it. "
        f"These frames are located at {located}.Please answer the following questions related to this video."
    )


def _step(clip_fps: float, wanted_fps: float) -> int:
    return max(1, round(clip_fps / wanted_fps))


def cut(whole: Frames, span: tuple[float, float]) -> tuple[int, Frames]:
    """Return the first frame of a span, and the frames in it with times that count from its start."""
    start, end = span
    if not 0 <= start <= end:
        raise ValueError(f"sampling: expected a span of seconds 0 <= start <= end, got {list(span)}")
    times_s = whole.times_s
    first = bisect_left(times_s, start - TOLERANCE_S)
    count = bisect_right(times_s, end + TOLERANCE_S) - first
    if count < 1:
        if start > whole.meta.duration_s:
            raise ValueError(f"sampling: span {list(span)} begins behind the clip's {whole.meta.duration_s:.3f} s")
        # between two frames, the one on screen
        first, count = frame_at(times_s, start), 1
    seconds = max(0.0, min(end, whole.meta.duration_s) - start)
    keys = whole.keyframes
    return first, Frames(
        meta=replace(whole.meta, num_frames=count, duration_s=seconds),
        shown_s=[max(0.0, time - start) for time in times_s[first : first + count]],
        keyframes=None if keys is None else [key - first for key in keys if first <= key < first + count],
    )


def _at_times(frames: Frames, video: VideoSpec) -> tuple[int, ...]:
    times_s = frames.times_s
    end = max(frames.meta.duration_s, times_s[-1])
    if video.times_s[-1] > end + TOLERANCE_S:
        raise ValueError(f"video.times_s: {video.times_s[-1]:g} s asked for, the clip has 0 to {end:.3f} s")
    return tuple(frame_at(times_s, time) for time in video.times_s)


def _in_segments(frames: Frames, video: VideoSpec) -> tuple[int, ...]:
    times_s = frames.times_s
    end = max(frames.meta.duration_s, times_s[-1])
    segments = [(start, min(stop, end)) for start, stop in video.segments_s if start <= end]
    if not segments:
        raise ValueError(f"video.segments_s: policy 'segments' has none of {len(video.segments_s)} within {end:.3f} s")
    return tuple(frame_at(times_s, time) for time in segment_times(segments, video.num_frames))


def _keyframes(frames: Frames, video: VideoSpec) -> tuple[int, ...]:
    if frames.keyframes is None:
        raise ValueError("video.policy: 'keyframes' needs a file's index of key frames, and none is known here")
    # a part without any begins at its first frame all the same
    keys = sorted(frames.keyframes) or [0]
    if len(keys) <= video.num_frames:
        return tuple(keys)
    return tuple(keys[index] for index in uniform_indices(len(keys), video.num_frames))


def _fps(frames: Frames, video: VideoSpec) -> tuple[int, ...]:
    assert video.fps is not None
    return fps_indices(frames.meta.num_frames, frames.meta.fps, video.fps, video.num_frames)


def _fps_time(frames: Frames, video: VideoSpec) -> tuple[int, ...]:
    assert video.fps is not None
    return fps_time_indices(frames.times_s, video.fps, video.num_frames)


POLICIES: dict[str, Callable[[Frames, VideoSpec], tuple[int, ...]]] = {
    "uniform": lambda frames, video: uniform_indices(frames.meta.num_frames, video.num_frames),
    "interior": lambda frames, video: interior_indices(frames.meta.num_frames, video.num_frames),
    "segment_mid": lambda frames, video: segment_mid_indices(frames.meta.num_frames, video.num_frames),
    "fps": _fps,
    "fps_time": _fps_time,
    "times": _at_times,
    "segments": _in_segments,
    "keyframes": _keyframes,
}
