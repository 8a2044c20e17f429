"""SlowFast: a few frames keep more tokens, the others fewer, and a second end vector closes each (Zhang et al. 2024).

The released code names it (add_faster_video, faster_token_stride) but cannot run it; this is what it means to do.
"""

from anyres.plan import FAST_FRAME_END
from video.clip import VideoSpec


def stride_of(frame: int, video: VideoSpec) -> int:
    """Return the pooling stride of the frame-th sampled frame: `pool`, or twice that for a fast frame."""
    return video.pool if is_slow(frame, video) else 2 * video.pool


def is_slow(frame: int, video: VideoSpec) -> bool:
    """Tell whether the frame-th sampled frame keeps the tokens of `pool`; all do without SlowFast."""
    return video.slow_every is None or frame % video.slow_every == 0


def closing_of(video: VideoSpec) -> int | None:
    """Return the end vector that closes every frame under SlowFast, None without."""
    return None if video.slow_every is None else FAST_FRAME_END
