"""Which frames of a clip are read: pure, from its header."""

from video.clip import ClipMeta, VideoSpec


def sample(meta: ClipMeta, video: VideoSpec) -> tuple[int, ...]:
    """Return the frame indices that a policy asks for, in order."""
    if meta.num_frames < 1:
        raise ValueError("sample: the clip has no frames")
    last, count = meta.num_frames - 1, video.num_frames
    if video.policy == "uniform":
        return tuple(int(last * i / (count - 1)) if count > 1 else 0 for i in range(count))
    raise ValueError(f"video.policy: expected 'uniform', got {video.policy!r}")
