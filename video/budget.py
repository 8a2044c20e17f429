"""How many tokens a clip costs, how many frames fit a context, and which RoPE factor a prompt needs."""

from math import ceil

from anyres.grid import TileSpec
from anyres.rows import tokens_with_ends
from video.clip import VideoSpec
from video.plan import END
from video.pooling import pool_frame
from video.slowfast import closing_of, stride_of


def clip_tokens(num_frames: int, video: VideoSpec, tile: TileSpec) -> int:
    """Return the number of tokens of `num_frames` frames, end vectors included; equal to plan_clip(...).num_tokens."""
    period = video.slow_every or 1
    rounds, rest = divmod(num_frames, period)
    tokens = rounds * _round_tokens(video, tile) + sum(frame_tokens(video, tile, frame) for frame in range(rest))
    return tokens + (1 if video.end == "one_token" and num_frames else 0)


def frame_tokens(video: VideoSpec, tile: TileSpec, frame: int = 0) -> int:
    """Return the number of tokens of one frame, the slow first by default; a token that closes the clip is not in it.

    frame: which of the sampled frames; only SlowFast tells them apart.
    """
    pooled = pool_frame(tile, stride_of(frame, video), video.pool_mode)
    return tokens_with_ends(pooled.out, END[video.end]) + (closing_of(video) is not None)


def frames_that_fit(
    trained_context: int, text_tokens: int, video: VideoSpec, tile: TileSpec, rope_factor: float = 1.0
) -> int:
    """Return the most frames whose tokens, with `text_tokens` more, fit trained_context * rope_factor; 0 if none do."""
    room = int(trained_context * rope_factor) - text_tokens - (1 if video.end == "one_token" else 0)
    rounds, rest = divmod(max(0, room), _round_tokens(video, tile))
    frames = rounds * (video.slow_every or 1)
    while rest >= frame_tokens(video, tile, frames):
        rest -= frame_tokens(video, tile, frames)
        frames += 1
    return frames


def rope_factor(need_tokens: int, trained_context: int) -> float:
    """Return the smallest whole linear scaling of positions, at least 1, that brings `need_tokens` into the context.

    Whole, as released: ceil(need / trained).
    """
    if trained_context < 1:
        raise ValueError(f"rope_factor: expected a trained context of at least 1 token, got {trained_context}")
    return float(max(1, ceil(need_tokens / trained_context)))


def _round_tokens(video: VideoSpec, tile: TileSpec) -> int:
    """Return the tokens of one slow frame and the fast ones up to the next; of one frame without SlowFast."""
    return sum(frame_tokens(video, tile, frame) for frame in range(video.slow_every or 1))
