"""Counts from the published tables of the released code: pooled sides, newline positions, frames in a context."""

import pytest

from anyres.geometry import HW, Box
from anyres.grid import TileSpec
from video import VideoSpec, plan_clip
from video.budget import clip_tokens, frame_tokens, frames_that_fit, rope_factor
from video.pooling import pool_frame

CLIP_336 = TileSpec(px=336, tok=24)
CLIP_224 = TileSpec(px=224, tok=16)
SIGLIP = TileSpec(px=384, tok=27)
FRAME = HW(480, 640)


@pytest.mark.parametrize(
    ("tile", "mode", "side"),
    [
        (CLIP_336, "average", 12),
        (SIGLIP, "average", 13),
        (CLIP_224, "average", 8),
        (CLIP_336, "max", 12),
        (SIGLIP, "max", 13),
        (CLIP_224, "max", 8),
        (CLIP_336, "bilinear", 12),
        (SIGLIP, "bilinear", 14),
        (CLIP_224, "bilinear", 8),
        (SIGLIP, "none", 27),
    ],
)
def test_t8_pooled_side_at_stride_2(tile: TileSpec, mode: str, side: int) -> None:
    assert pool_frame(tile, 2, mode).out == HW(side, side)


@pytest.mark.parametrize(
    ("tile", "mode", "tokens"),
    [
        (CLIP_336, "average", (64, 36, 16, 9)),
        (CLIP_336, "max", (64, 36, 16, 9)),
        (CLIP_336, "bilinear", (64, 36, 16, 9)),
        (SIGLIP, "average", (81, 36, 16, 9)),
        (SIGLIP, "max", (81, 36, 16, 9)),
        (SIGLIP, "bilinear", (81, 49, 25, 16)),
    ],
)
def test_pooled_tokens_at_strides_3_4_6_and_8(tile: TileSpec, mode: str, tokens: tuple[int, ...]) -> None:
    assert tuple(pool_frame(tile, stride, mode).out.area for stride in (3, 4, 6, 8)) == tokens


def test_average_drops_the_odd_row_and_column_and_bilinear_keeps_them() -> None:
    assert pool_frame(SIGLIP, 2, "average").crop_tok == Box(0, 0, 26, 26)
    assert pool_frame(SIGLIP, 2, "bilinear").crop_tok == Box(0, 0, 27, 27)


def test_a_stride_that_leaves_no_token_is_refused() -> None:
    for mode in ("average", "max"):
        with pytest.raises(ValueError, match="leaves no token"):
            pool_frame(TileSpec(px=14, tok=1), 2, mode)


# tokens of one frame by newline position, for pooled sides 12, 13, 14 and 8
@pytest.mark.parametrize(
    ("end", "per_frame", "closing"),
    [
        ("grid", (156, 182, 210, 72), 0),
        ("frame", (145, 170, 197, 65), 0),
        ("one_token", (144, 169, 196, 64), 1),
        ("no_token", (144, 169, 196, 64), 0),
    ],
)
def test_t9_newline_positions(end: str, per_frame: tuple[int, ...], closing: int) -> None:
    cases = [(CLIP_336, "average"), (SIGLIP, "average"), (SIGLIP, "bilinear"), (CLIP_224, "average")]
    for (tile, mode), tokens in zip(cases, per_frame, strict=True):
        video = VideoSpec(pool_mode=mode, end=end)
        for num_frames in (1, 5):
            plan = plan_clip(FRAME, num_frames, video, tile)
            assert plan.num_tokens == num_frames * tokens + closing
            assert clip_tokens(num_frames, video, tile) == plan.num_tokens
            assert plan.num_tiles == num_frames


@pytest.mark.parametrize(
    ("tile", "frames", "mode", "end", "tokens"),
    [
        (CLIP_336, 16, "average", "no_token", 2304),  # zero-shot operating point of the image model
        (SIGLIP, 32, "bilinear", "one_token", 6273),
        (SIGLIP, 64, "average", "grid", 11648),
        (SIGLIP, 64, "bilinear", "grid", 13440),
        (SIGLIP, 32, "average", "grid", 5824),
        (SIGLIP, 32, "bilinear", "grid", 6720),
    ],
)
def test_released_systems(tile: TileSpec, frames: int, mode: str, end: str, tokens: int) -> None:
    assert plan_clip(FRAME, frames, VideoSpec(pool_mode=mode, end=end), tile).num_tokens == tokens


def test_one_token_closes_the_last_frame_only() -> None:
    plan = plan_clip(FRAME, 3, VideoSpec(end="one_token"), CLIP_336)
    assert [segment.end for segment in plan.segments] == ["none", "none", "segment"]
    assert [canvas.frame for canvas in plan.canvases] == [0, 1, 2]


def test_frames_are_squashed_cropped_or_padded_to_one_tile() -> None:
    def box(fit: str) -> Box:
        return plan_clip(HW(240, 426), 1, VideoSpec(fit=fit), CLIP_336).canvases[0].content_px

    assert box("squash") == Box(0, 0, 336, 336)
    # 336 * 426 / 240 = 596.4, truncated; the centre 336 of 596 columns
    assert box("crop") == Box(0, -130, 336, 596)
    assert plan_clip(HW(240, 426), 1, VideoSpec(fit="pad"), CLIP_336).canvases[0].fit == "pad_square"


def test_no_frames_or_an_empty_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        plan_clip(FRAME, 0, VideoSpec(), CLIP_336)
    with pytest.raises(ValueError, match="at least 1x1"):
        plan_clip(HW(0, 5), 1, VideoSpec(), CLIP_336)


# average and bilinear pooling of 27 x 27 tokens
@pytest.mark.parametrize(
    ("frames", "slow_every", "tokens"),
    [(64, 5, (4572, 5650)), (64, 10, (3732, 4726)), (32, 5, (2356, 2902)), (64, None, (11648, 13440))],
)
def test_t10_slowfast(frames: int, slow_every: int | None, tokens: tuple[int, int]) -> None:
    for mode, expected in zip(("average", "bilinear"), tokens, strict=True):
        video = VideoSpec(pool_mode=mode, slow_every=slow_every)
        assert plan_clip(FRAME, frames, video, SIGLIP).num_tokens == expected
        assert clip_tokens(frames, video, SIGLIP) == expected
        assert frames_that_fit(expected, 0, video, SIGLIP) == frames
        assert frames_that_fit(expected - 1, 0, video, SIGLIP) == frames - 1


def test_slowfast_frame_by_frame() -> None:
    video = VideoSpec(pool_mode="average", slow_every=3)
    plan = plan_clip(FRAME, 7, video, SIGLIP)
    assert [segment.num_tokens for segment in plan.segments] == [183, 43, 43, 183, 43, 43, 183]
    assert [frame_tokens(video, SIGLIP, frame) for frame in range(4)] == [183, 43, 43, 183]
    # rows closed by the first end vector, every frame by the second
    assert {(segment.end, segment.vector, segment.closing) for segment in plan.segments} == {("row", 0, 1)}
    for context in range(0, 700, 7):
        fitting = frames_that_fit(context, 0, video, SIGLIP)
        assert clip_tokens(fitting, video, SIGLIP) <= context < clip_tokens(fitting + 1, video, SIGLIP)


def test_slowfast_needs_pooled_frames_and_closed_rows() -> None:
    with pytest.raises(ValueError, match="got end 'frame' and pool_mode 'bilinear'"):
        VideoSpec(slow_every=5, end="frame")
    with pytest.raises(ValueError, match="got end 'grid' and pool_mode 'none'"):
        VideoSpec(slow_every=5, pool_mode="none")
    with pytest.raises(ValueError, match="slow_every: expected at least 1"):
        VideoSpec(slow_every=0)


@pytest.mark.parametrize(
    ("pool", "factor", "text", "frames"),
    [
        (1, 1.0, 0, 7),  # 7 * 576 = 4032 of 4096
        (2, 1.0, 0, 28),  # 28 * 144 = 4032
        (2, 1.0, 1000, 21),
        (2, 2.0, 0, 56),  # 56 * 144 = 8064 of 8192, not the 8096 sometimes quoted
        (2, 2.0, 128, 56),
        (2, 2.0, 129, 55),
        (2, 2.0, 1000, 49),
    ],
)
def test_frames_that_fit_a_context_of_4096(pool: int, factor: float, text: int, frames: int) -> None:
    video = VideoSpec(pool=pool, pool_mode="average", end="no_token")
    assert frames_that_fit(4096, text, video, CLIP_336, factor) == frames


def test_the_closing_token_counts_and_nothing_fits_when_text_fills_the_context() -> None:
    closed = VideoSpec(pool_mode="average", end="one_token")
    assert frames_that_fit(144, 0, closed, CLIP_336) == 0
    assert frames_that_fit(145, 0, closed, CLIP_336) == 1
    assert frames_that_fit(4096, 5000, closed, CLIP_336) == 0


@pytest.mark.parametrize(("need", "factor"), [(1, 1.0), (4096, 1.0), (4097, 2.0), (8064 + 128, 2.0), (9064, 3.0)])
def test_rope_factor_is_whole(need: int, factor: float) -> None:
    assert rope_factor(need, 4096) == factor
