"""The plan of a clip: every sampled frame is a one-tile canvas and a pooled segment."""

from dataclasses import replace

from anyres.geometry import HW
from anyres.grid import TileSpec, check_image
from anyres.plan import Segment, VisualPlan, overview_canvas
from anyres.rows import End
from video.clip import VideoSpec
from video.pooling import pool_frame
from video.slowfast import closing_of, stride_of

END: dict[str, End] = {"grid": "row", "frame": "segment", "one_token": "none", "no_token": "none"}


def plan_clip(size: HW, num_frames: int, video: VideoSpec, tile: TileSpec) -> VisualPlan:
    """Return the plan of `num_frames` sampled frames of `size` pixels each (rotation applied).

    Raises ValueError for an empty frame, no frames, or a pooling that leaves no token.
    """
    check_image(size)
    if num_frames < 1:
        raise ValueError(f"plan_clip: expected at least 1 frame, got {num_frames}")
    segments = [_segment(frame, video, tile) for frame in range(num_frames)]
    if video.end == "one_token":
        segments[-1] = replace(segments[-1], end="segment")
    canvases = tuple(overview_canvas(size, tile, video.fit, frame=i) for i in range(num_frames))
    return VisualPlan(tile=tile, canvases=canvases, segments=tuple(segments))


def _segment(frame: int, video: VideoSpec, tile: TileSpec) -> Segment:
    pooled = pool_frame(tile, stride_of(frame, video), video.pool_mode)
    return Segment(
        canvas=frame,
        crop_tok=pooled.crop_tok,
        out=pooled.out,
        end=END[video.end],
        reduce=pooled.reduce,
        closing=closing_of(video),
    )
