"""How many tokens a clip costs, how many frames fit a context, and which RoPE factor a prompt needs."""

from math import ceil

from anyres.grid import TileSpec
from anyres.rows import tokens_with_ends
from video.clip import VideoSpec
from video.plan import END
from video.pooling import pool_frame


def clip_tokens(num_frames: int, video: VideoSpec, tile: TileSpec) -> int:
    """Return the number of tokens of `num_frames` frames, end vectors included; equal to plan_clip(...).num_tokens."""
    return num_frames * frame_tokens(video, tile) + (1 if video.end == "one_token" and num_frames else 0)


def frame_tokens(video: VideoSpec, tile: TileSpec) -> int:
    """Return the number of tokens of one frame; the single token that may close the whole clip is not in it."""
    return tokens_with_ends(pool_frame(tile, video.pool, video.pool_mode).out, END[video.end])


def frames_that_fit(
    trained_context: int, text_tokens: int, video: VideoSpec, tile: TileSpec, rope_factor: float = 1.0
) -> int:
    """Return the most frames whose tokens, with `text_tokens` more, fit trained_context * rope_factor; 0 if none do."""
    room = int(trained_context * rope_factor) - text_tokens - (1 if video.end == "one_token" else 0)
    return max(0, room // frame_tokens(video, tile))


def rope_factor(need_tokens: int, trained_context: int) -> float:
    """Return the smallest whole linear scaling of positions, at least 1, that brings `need_tokens` into the context.

    Whole, as released: ceil(need / trained).
    """
    if trained_context < 1:
        raise ValueError(f"rope_factor: expected a trained context of at least 1 token, got {trained_context}")
    return float(max(1, ceil(need_tokens / trained_context)))
