"""What is known of a clip before decoding, how to turn it into tokens, and what decoding gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from anyres.geometry import HW

if TYPE_CHECKING:
    from numpy import ndarray

Policy = Literal["uniform", "fps", "interior", "segment_mid"]
PoolMode = Literal["average", "bilinear", "max", "none"]
ClipEnd = Literal["grid", "frame", "one_token", "no_token"]
FrameFit = Literal["squash", "crop", "pad"]

_CHOICES = {"policy": Policy, "pool_mode": PoolMode, "end": ClipEnd, "fit": FrameFit}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipMeta:
    """A clip's header: decodable frames, average frames per second, size in pixels (rotation applied), seconds."""

    num_frames: int
    fps: float
    size: HW
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSpec:
    """How a clip becomes frames and tokens.

    policy, num_frames, fps: which frames (see video.sampling). pool: stride over each frame's tokens (1: none).
    pool_mode: "average" (floor), "bilinear" (ceil), "max" (floor) or "none". pool_before_projector: pool encoder
    features, not projected ones.
    end: where end vectors go: after every row ("grid"), every "frame", once ("one_token") or nowhere ("no_token").
    fit: each frame is squashed to one tile, padded to a square first, or cropped to its centre.
    slow_every: SlowFast: frames 0, slow_every, 2 * slow_every... are pooled by `pool`, all others by 2 * pool, and a
    second end vector closes every frame; needs end "grid". None: all frames alike.
    """

    policy: Policy = "uniform"
    num_frames: int = 8
    fps: float | None = None
    pool: int = 2
    pool_mode: PoolMode = "bilinear"
    pool_before_projector: bool = False
    end: ClipEnd = "grid"
    fit: FrameFit = "squash"
    slow_every: int | None = None

    def __post_init__(self) -> None:
        given = (self.policy, self.pool_mode, self.end, self.fit)
        for (name, choices), found in zip(_CHOICES.items(), given, strict=True):
            if found not in get_args(choices):
                raise ValueError(f"video.{name}: expected one of {', '.join(get_args(choices))}, got {found!r}")
        if self.num_frames < 1:
            raise ValueError(f"video.num_frames: expected at least 1, got {self.num_frames}")
        if self.pool < 1:
            raise ValueError(f"video.pool: expected a stride of at least 1, got {self.pool}")
        if self.policy == "fps" and not self.fps:
            raise ValueError(f"video.fps: policy 'fps' needs frames per second above 0, got {self.fps}")
        if self.slow_every is not None:
            if self.slow_every < 1:
                raise ValueError(f"video.slow_every: expected at least 1, or null for none, got {self.slow_every}")
            if self.end != "grid" or self.pool_mode == "none":
                found = f"end {self.end!r} and pool_mode {self.pool_mode!r}"
                raise ValueError(
                    f"video.slow_every: SlowFast pools frames and closes their rows (end 'grid'), got {found}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideoClip:
    """Decoded frames: uint8 [F, H, W, 3], their times in seconds [F], the indices really read, and the reader."""

    frames_FHWC: "ndarray"
    times_F: "ndarray"
    indices: tuple[int, ...]
    reader: str
    meta: ClipMeta
