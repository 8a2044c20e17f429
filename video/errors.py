"""The error of clips: the same as that of images."""

from anyres.errors import KINDS, Kind, MediaError

__all__ = ["KINDS", "Kind", "MediaError"]
