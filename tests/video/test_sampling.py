import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyres.geometry import HW
from video.clip import ClipMeta, VideoSpec
from video.sampling import (
    fps_indices,
    frame_times,
    interior_indices,
    released_frame_times,
    sample,
    segment_mid_indices,
    time_instruction,
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


@given(st.integers(1, 5000), st.integers(1, 100), st.sampled_from(["uniform", "fps", "interior", "segment_mid"]))
def test_every_policy_stays_inside_the_clip_in_order(total: int, count: int, policy: str) -> None:
    indices = sample(meta(total, 30.0), VideoSpec(policy=policy, num_frames=count, fps=2.0))
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


@pytest.mark.parametrize("switch", ["policy", "pool_mode", "end", "fit"])
def test_an_unknown_switch_is_refused(switch: str) -> None:
    with pytest.raises(ValueError, match=f"video.{switch}: expected one of .*, got 'x'"):
        VideoSpec(**{switch: "x"})
