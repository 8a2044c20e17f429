"""Clips: which frames are read and how they become tokens."""

from video.clip import ClipMeta, VideoClip, VideoSpec
from video.plan import plan_clip

__all__ = ["ClipMeta", "VideoClip", "VideoSpec", "plan_clip"]
