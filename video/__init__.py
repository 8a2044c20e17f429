"""Clips: which frames are read and how they become tokens."""

from video.clip import ClipMeta, VideoClip, VideoSpec
from video.errors import MediaError
from video.plan import plan_clip
from video.reader import clip_meta, load_clip, open_clip_reader
from video.sampling import sample

__all__ = [
    "ClipMeta",
    "MediaError",
    "VideoClip",
    "VideoSpec",
    "clip_meta",
    "load_clip",
    "open_clip_reader",
    "plan_clip",
    "sample",
]
