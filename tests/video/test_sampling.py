import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyres.geometry import HW
from video.clip import ClipMeta, VideoSpec
from video.sampling import (
    POLICIES,
    fps_indices,
    fps_time_indices,
    frame_at,
    frame_times,
    interior_indices,
    released_frame_times,
    sample,
    segment_mid_indices,
    segment_times,
    time_instruction,
    trained_times,
    uniform_indices,
)


def meta(total: int, fps: float) -> ClipMeta:
    return ClipMeta(num_frames=total, fps=fps, size=HW(48, 64), duration_s=total / fps)


def test_uniform_includes_both_ends() -> None:
    assert uniform_indices(100, 8) == (0, 14, 28, 42, 56, 70, 84, 99)
    assert uniform_indices(100, 1) == (0,)


def test_uniform_repeats_frames_of_short_clips() -> None:
    assert uniform_indices(3, 5) == (0, 0, 1, 1, 2)
    assert uniform_indices(1, 4) == (0, 0, 0, 0)


@given(st.integers(1, 100_000), st.integers(1, 300))
def test_uniform_is_numpys_truncated_linspace(total: int, count: int) -> None:
    expected = np.linspace(0, total - 1, count, dtype=int)
    assert uniform_indices(total, count) == tuple(expected.tolist())


def test_fps_takes_every_rounded_step() -> None:
    # 29.97 frames per second at 1 per second: step round(29.97) = 30
    assert fps_indices(100, 29.97, 1.0, cap=32) == (0, 30, 60, 90)
    # half to even: 2.5 / 1 -> 2
    assert fps_indices(7, 2.5, 1.0, cap=32) == (0, 2, 4, 6)


def test_fps_falls_back_to_uniform_above_the_cap_or_when_forced() -> None:
    assert fps_indices(100, 10.0, 1.0, cap=10) == tuple(range(0, 100, 10))
    assert fps_indices(100, 10.0, 1.0, cap=8) == uniform_indices(100, 8)
    assert fps_indices(100, 10.0, 1.0, cap=32, force_sample=True) == uniform_indices(100, 32)


def test_fps_step_is_never_zero() -> None:
    # one frame per 5 s, one per second wanted: the rounded step is 0
    assert fps_indices(6, 0.2, 1.0, cap=32) == (0, 1, 2, 3, 4, 5)


def test_interior_leaves_out_both_ends() -> None:
    assert interior_indices(90, 8) == (10, 20, 30, 40, 50, 60, 70, 80)
    assert interior_indices(1, 2) == (0, 0)


def test_segment_mid() -> None:
    # w = 80 / 8 = 10: floor(5 + 10 k)
    assert segment_mid_indices(81, 8) == (5, 15, 25, 35, 45, 55, 65, 75)


@given(st.integers(1, 5000), st.integers(1, 100), st.sampled_from(sorted(POLICIES)), st.booleans())
def test_every_policy_stays_inside_the_clip_in_order(total: int, count: int, policy: str, cut: bool) -> None:
    times = tuple(total / 30 * k / count for k in range(count))
    video = VideoSpec(policy=policy, num_frames=count, fps=2.0, times_s=times, segments_s=((0.0, 0.5), (0.2, 9.0)))
    whole = meta(total, 30.0)
    # a span from one end to the other is the whole clip
    span = (0.0, whole.duration_s) if cut else None
    indices = sample(whole, video, keyframes=range(0, total, 12), span=span)
    assert indices == sample(whole, video, keyframes=range(0, total, 12))
    assert 1 <= len(indices) <= count
    assert list(indices) == sorted(indices)
    assert indices[0] >= 0 and indices[-1] < total


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        sample(meta(0, 30.0), VideoSpec())


def test_times_are_seconds_and_the_released_ones_are_not() -> None:
    # 3 s at 30 fps, 4 frames per second wanted: step round(7.5) = 8
    indices = fps_indices(90, 30.0, 4.0, cap=32)
    assert indices[-1] == 88
    assert frame_times(indices, 30.0)[-1] == pytest.approx(2.9333, abs=1e-4)
    assert released_frame_times(indices, 30.0, 4.0)[-1] == 11.0


def test_time_instruction_is_the_released_sentence() -> None:
    assert time_instruction(9.966, (0.0, 3.3, 6.6)) == (
        "The video lasts for 9.97 seconds, and 3 frames are uniformly sampled from it. These frames are located at "
        "0.00s,3.30s,6.60s.Please answer the following questions related to this video."
    )


# shown at 0, 0.1, 0.2, 3.0 and 3.1 seconds: a variable rate of 1.61 a second on average
VARIABLE = (0.0, 0.1, 0.2, 3.0, 3.1)


def test_the_frame_of_a_time_is_the_one_on_screen() -> None:
    assert [frame_at(VARIABLE, time) for time in (0.0, 0.05, 0.1, 0.1 * 3 - 0.1, 2.99, 3.0, 99.0)] == [
        0,
        0,
        1,
        2,
        2,
        3,
        4,
    ]
    assert frame_at((0.5, 1.0), 0.0) == 0


def test_frames_a_second_by_time_and_by_count_differ_for_a_variable_rate() -> None:
    clip = ClipMeta(num_frames=5, fps=1.61, size=HW(48, 64), duration_s=3.1)
    assert fps_indices(5, 1.61, 1.0, cap=8) == (0, 2, 4)
    # at 0, 1, 2 and 3 seconds: frame 2 stands for two of them
    assert sample(clip, VideoSpec(policy="fps_time", fps=1.0, num_frames=8), VARIABLE) == (0, 2, 3)
    assert fps_time_indices(VARIABLE, 10.0, cap=4) == (0, 2, 4)
    assert fps_time_indices(VARIABLE, 10.0, cap=1) == (0,)
    assert fps_time_indices((0.0,), 2.0, cap=4) == (0,)
    # at a constant whole rate they are the same
    assert fps_time_indices(frame_times(range(100), 30.0), 1.0, cap=9) == fps_indices(100, 30.0, 1.0, cap=9)


def test_times_asked_for() -> None:
    clip = ClipMeta(num_frames=5, fps=1.61, size=HW(48, 64), duration_s=3.2)
    video = VideoSpec(policy="times", times_s=(0.05, 0.15, 3.15))
    assert sample(clip, video, VARIABLE) == (0, 1, 4)
    with pytest.raises(ValueError, match=r"video.times_s: 3.5 s asked for, the clip has 0 to 3.200 s"):
        sample(clip, VideoSpec(policy="times", times_s=(0.0, 3.5)), VARIABLE)
    with pytest.raises(ValueError, match="policy 'times' needs at least one time in seconds, got none"):
        VideoSpec(policy="times")
    with pytest.raises(ValueError, match=r"video.times_s: expected rising seconds from 0, got \[2.0, 1.0\]"):
        VideoSpec(policy="times", times_s=(2.0, 1.0))


def test_subtitles_get_the_frames_of_their_middles() -> None:
    subtitles = ((4.0, 6.0), (0.0, 1.0), (8.0, 9.0), (9.5, 9.9))
    # as many as frames; fewer than frames: the first ones get one more; more than frames: first and last are in
    assert segment_times(subtitles, 4) == (0.5, 5.0, 8.5, pytest.approx(9.7))
    assert segment_times(subtitles[:2], 5) == (pytest.approx(1 / 6), 0.5, pytest.approx(5 / 6), 4.5, 5.5)
    assert segment_times(subtitles, 2) == (0.5, pytest.approx(9.7))
    clip = meta(80, 10.0)
    video = VideoSpec(policy="segments", num_frames=3, segments_s=subtitles)
    # the third is cut at the clip's end, the fourth begins behind it
    assert sample(clip, video) == (5, 50, 80 - 1)
    # times count from the start of a span: two seconds of it hold the first subtitle alone
    assert sample(clip, video, span=(4.0, 6.0)) == (41, 45, 48)
    with pytest.raises(ValueError, match=r"policy 'segments' has none of 0 within 8.000 s"):
        sample(clip, VideoSpec(policy="segments"))
    with pytest.raises(ValueError, match=r"video.segments_s: expected seconds 0 <= start <= end, got \[3.0, 1.0\]"):
        VideoSpec(segments_s=((3.0, 1.0),))


def test_keyframes_are_the_files_own() -> None:
    video = VideoSpec(policy="keyframes", num_frames=3)
    assert sample(meta(100, 10.0), video, keyframes=(0, 12, 60)) == (0, 12, 60)
    assert sample(meta(100, 10.0), video, keyframes=(0, 12, 24, 36, 99)) == (0, 24, 99)
    assert sample(meta(100, 10.0), video, keyframes=(0, 12, 60), span=(1.0, 7.0)) == (12, 60)
    assert sample(meta(100, 10.0), video, keyframes=(0,), span=(1.0, 7.0)) == (10,)
    with pytest.raises(ValueError, match="'keyframes' needs a file's index of key frames"):
        sample(meta(100, 10.0), video)


def test_a_span_is_read_as_if_the_clip_was_cut_there() -> None:
    clip = meta(100, 10.0)
    assert sample(clip, VideoSpec(num_frames=3), span=(2.0, 4.0)) == (20, 30, 40)
    assert sample(clip, VideoSpec(policy="times", times_s=(0.0, 1.0)), span=(2.0, 4.0)) == (20, 30)
    # by the file's own times: those of the frames at 3.0 and 3.1
    variable = ClipMeta(num_frames=5, fps=1.61, size=HW(48, 64), duration_s=3.2)
    assert sample(variable, VideoSpec(num_frames=2), VARIABLE, span=(2.5, 9.0)) == (3, 4)
    # between two frames the one on screen
    assert sample(variable, VideoSpec(num_frames=2), VARIABLE, span=(1.0, 1.5)) == (2, 2)
    with pytest.raises(ValueError, match=r"span \[11.0, 12.0\] begins behind the clip's 10.000 s"):
        sample(clip, VideoSpec(), span=(11.0, 12.0))
    with pytest.raises(ValueError, match=r"expected a span of seconds 0 <= start <= end, got \[3.0, 1.0\]"):
        sample(clip, VideoSpec(), span=(3.0, 1.0))
    with pytest.raises(ValueError, match="expected a time for each of 100 frames, got 5"):
        sample(clip, VideoSpec(), VARIABLE)


def test_the_times_of_training_are_right_but_in_the_fps_branch() -> None:
    clip = meta(90, 30.0)
    every = VideoSpec(policy="fps", fps=4.0, num_frames=32)
    assert trained_times(clip, every, sample(clip, every))[-1] == 11.0
    capped = VideoSpec(policy="fps", fps=4.0, num_frames=8)
    assert trained_times(clip, capped, sample(clip, capped))[-1] == pytest.approx(89 / 30)
    uniform = VideoSpec(num_frames=4)
    assert trained_times(clip, uniform, sample(clip, uniform)) == frame_times((0, 29, 59, 89), 30.0)


@pytest.mark.parametrize("switch", ["policy", "pool_mode", "end", "fit", "frames_as"])
def test_an_unknown_switch_is_refused(switch: str) -> None:
    with pytest.raises(ValueError, match=f"video.{switch}: expected one of .*, got 'x'"):
        VideoSpec(**{switch: "x"})
