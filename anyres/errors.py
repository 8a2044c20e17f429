"""The one error that a medium can cause, with a reason that a program can read."""

import os
from typing import Literal, get_args

Kind = Literal[
    "not_local",
    "missing",
    "not_a_file",
    "not_media",
    "empty",
    "limit",
    "truncated",
    "damaged",
    "checksum",
    "values",
    "shape",
    "no_video",
    "no_frames",
    "unsupported",
    "not_exact",
    "stalled",
    "crashed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# of a path, in words: what stands for one may be a whole data: URL
MOST_SHOWN = 300

# what to do about each kind, where the one who raises has nothing better to say
HINTS: dict[Kind, str] = {
    "not_local": "give the path of a local file; download a URL first",
    "missing": "check the path and its permissions",
    "not_a_file": "give the path of a regular file",
    "not_media": "give an image or a video of a known format",
    "empty": "give at least 1x1 pixels",
    "limit": "make it smaller first, or raise the limit (anyres.limits.MediaLimits)",
    "truncated": "the file is cut short; fetch or copy it again",
    "damaged": "the file is damaged or cut short; fetch or copy it again",
    "checksum": "fetch or copy the file again, or record its checksum again",
    "values": "scale it to 8 bits a channel first",
    "shape": "give an array [H, W, 3], [H, W] or [3, H, W]",
    "no_video": "give a file with a video stream",
    "no_frames": "give a clip with at least one frame",
    "unsupported": "convert it first",
    "not_exact": "leave the choice of a backend to auto",
    "stalled": "the decoder did not come back in time; convert the file, or raise the limit of seconds",
    "crashed": "the decoder's process ended; convert the file first",
}


class MediaError(ValueError):
    """An image, an array or a clip that cannot be read right.

    path: the file as given, or "<bytes>", "<image>", "<array>" for what has no name. detail: what was found.
    hint: what to do about it. kind, the reason code:

        not_local    a URL, file:// or bytes where the path of a local file is expected
        missing      nothing there, a broken or circular link, or no permission
        not_a_file   a folder, pipe, socket or device
        not_media    no format on the allow list; playlists, documents, vector graphics and empty files are among them
        empty        a picture without pixels
        limit        above one of the MediaLimits: pixels, bytes, seconds, frames, memory
        truncated    the header promises more than the file holds
        damaged      does not decode
        checksum     not the file whose checksum was recorded, or one whose checksum was not (anyres.checksums)
        values       numbers without a defined mapping to 8 bits: floats out of range, NaN, 32-bit integers, complex
        shape        an array that is no picture, or could be two
        no_video     no video stream
        no_frames    a video stream without a frame
        unsupported  well-formed, but not handled here
        not_exact    the backend that was asked for returns wrong frames for such files
        stalled      a decoder that did not come back in time
        crashed      a decoder whose process died
    """

    def __init__(self, path: str | os.PathLike[str], kind: Kind, detail: str, hint: str | None = None) -> None:
        self.path = os.fspath(path)
        self.kind: Kind = kind
        self.detail = detail
        self.hint = HINTS[kind] if hint is None else hint
        # a name with a newline or bytes that are no text must not spoil a log
        shown = self.path if len(self.path) <= MOST_SHOWN else self.path[:MOST_SHOWN] + "..."
        shown = shown if shown.isprintable() else repr(shown)
        super().__init__(f"{shown}: {detail}; {self.hint} [{kind}]")

    def __reduce__(self) -> tuple[type["MediaError"], tuple[str, Kind, str, str]]:
        return type(self), (self.path, self.kind, self.detail, self.hint)
