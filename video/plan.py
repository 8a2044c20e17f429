"""The plan of a clip: every sampled frame is a one-tile canvas and a pooled segment."""

from anyres.geometry import HW
from anyres.grid import TileSpec, check_image
from anyres.plan import Segment, VisualPlan, overview_canvas
from anyres.rows import End
from video.clip import VideoSpec
from video.pooling import pool_frame

END: dict[str, End] = {"grid": "row", "frame": "segment", "one_token": "none", "no_token": "none"}


def plan_clip(size: HW, num_frames: int, video: VideoSpec, tile: TileSpec) -> VisualPlan:
    """Return the plan of `num_frames` sampled frames of `size` pixels each (rotation applied).

    Raises ValueError for an empty frame, no frames, or a pooling that leaves no token.
    """
    check_image(size)
    if num_frames < 1:
        raise ValueError(f"plan_clip: expected at least 1 frame, got {num_frames}")
    pooled = pool_frame(tile, video.pool, video.pool_mode)
    end = END[video.end]
    segments = [Segment(canvas=i, crop_tok=pooled.crop_tok, out=pooled.out, end=end) for i in range(num_frames)]
    if video.end == "one_token":
        segments[-1] = Segment(canvas=num_frames - 1, crop_tok=pooled.crop_tok, out=pooled.out, end="segment")
    canvases = tuple(overview_canvas(size, tile, video.fit, frame=i) for i in range(num_frames))
    return VisualPlan(tile=tile, canvases=canvases, segments=tuple(segments))
