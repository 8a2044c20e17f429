"""The one error that a file can cause, with a reason that a program can read."""

import os
from typing import Literal

Reason = Literal[
    "not_local",
    "missing",
    "not_a_file",
    "not_media",
    "no_video",
    "no_frames",
    "truncated",
    "damaged",
    "unsupported",
    "not_exact",
]


class MediaError(ValueError):
    """A file that cannot be read right.

    reason: "not_local" (a URL, or bytes), "missing", "not_a_file" (folder, pipe, device), "not_media" (no container
        that this project opens; playlists are among them), "no_video", "no_frames", "truncated" (the header promises
        more than the file holds), "damaged" (a wanted frame does not decode), "unsupported" (well-formed, but not
        handled), "not_exact" (the backend that was asked for returns wrong frames for such files).
    path: the file, as given.
    """

    def __init__(self, reason: Reason, path: str | os.PathLike[str], detail: str) -> None:
        super().__init__(f"{os.fspath(path)}: {detail} [{reason}]")
        self.reason: Reason = reason
        self.path = os.fspath(path)
        self.detail = detail

    def __reduce__(self) -> tuple[type["MediaError"], tuple[Reason, str, str]]:
        return type(self), (self.reason, self.path, self.detail)
