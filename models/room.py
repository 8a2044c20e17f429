"""Room in a context before media are read: the frames that fit it, or the RoPE factor that settings may need."""

from __future__ import annotations

from dataclasses import replace

from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.plan import plan_image
from models.spec import ModelSpec
from video.budget import clip_tokens, frames_that_fit, rope_factor
from video.clip import VideoSpec

# shares of the trained context kept for questions that are not known yet, and for an answer
QUESTION_SHARE, ANSWER_SHARE = 8, 16


def text_share(spec: ModelSpec, max_new_tokens: int) -> int:
    """Return the positions to keep for a question that is not known yet and for its answer."""
    return spec.llm.context // QUESTION_SHARE + min(max_new_tokens, spec.llm.context // ANSWER_SHARE)


def most_frames(
    spec: ModelSpec,
    video: VideoSpec,
    text_tokens: int,
    *,
    available: int | None = None,
    size: HW | None = None,
    grid: GridSpec | None = None,
    budget: int | None = None,
) -> VideoSpec:
    """Return the settings with as many frames as fit the context, with the model's RoPE factor, beside `text_tokens`.

    available: the frames that the clip has, where that is known. size, grid: of frames that are images. budget: the
    most positions, where that is less than the context. Raises ValueError where not one frame fits.
    """
    room = spec.context if budget is None else min(budget, spec.context)
    fit = frames_that_fit(room, text_tokens, video, spec.encoder.tile, size=size, grid=grid)
    if fit < 1:
        one = clip_tokens(1, video, spec.encoder.tile, size, grid)
        raise ValueError(
            f"most_frames: one frame takes {one} of {room} positions, of which text has {text_tokens}; a larger "
            "rope_factor or video.pool makes room"
        )
    return replace(video, num_frames=fit if available is None else max(1, min(fit, available)))


def factor_at_most(spec: ModelSpec, video: VideoSpec | None, grid: GridSpec | None, max_new_tokens: int) -> float:
    """Return the RoPE factor that any one clip or image may need by these settings, or the model's own where larger.

    Known before any medium is: a clip has all of num_frames, an image the most tokens that its grid gives.
    """
    tile = spec.encoder.tile
    clip, picture = video or spec.video, grid or spec.grid
    # an image that fills a canvas has no padding to remove
    sizes = [layout.times(tile.px) for layout in picture.layouts] or [HW(tile.px, tile.px)]
    most = max(plan_image(size, picture, tile).num_tokens for size in sizes)
    frames = clip.num_frames * most if clip.frames_as != "clip" else clip_tokens(clip.num_frames, clip, tile)
    return max(spec.rope_factor, rope_factor(max(most, frames) + text_share(spec, max_new_tokens), spec.llm.context))
