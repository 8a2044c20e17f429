"""Which paths are taken for clips: the same as for images."""

from anyres.local import local_file

__all__ = ["local_file"]
