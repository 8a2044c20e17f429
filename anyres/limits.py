"""What a medium may cost, and how it is told from others, before it is refused."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

MIB = 1 << 20
Unlisted = Literal["refuse", "read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """The limits of one medium, checked before the work is done where its header tells, else while it is done.

    A medium above one of them is a MediaError of kind "limit" ("stalled" for seconds); None lifts a limit. Files that
    differ from recorded checksums are refused as well (anyres.checksums).
    """

    # one picture or frame; above 178 million, PIL.Image.MAX_IMAGE_PIXELS has to be raised as well
    pixels: int | None = 100_000_000
    # the file of an image, an array, or bytes in memory
    image_bytes: int | None = 256 * MIB
    # the file of a clip
    clip_bytes: int | None = None
    # the frames that one request for a clip returns, and their bytes as 8-bit RGB
    frames: int | None = 4096
    frame_bytes: int | None = 4096 * MIB
    # time for one medium
    seconds: float | None = 60.0
    # a decoder process, where one is used
    memory_bytes: int | None = 4096 * MIB
    # a file of digests, as sha256sum writes it; what becomes of files that it does not list
    checksums: str | None = None
    unlisted: Unlisted = "refuse"

    def __post_init__(self) -> None:
        if self.unlisted not in get_args(Unlisted):
            raise ValueError(f"unlisted: expected one of {', '.join(get_args(Unlisted))}, got {self.unlisted!r}")
        for name, value in asdict(self).items():
            if name not in ("checksums", "unlisted") and value is not None and not value > 0:
                raise ValueError(f"{name}: expected a limit above 0 or None, got {value!r}")


LIMITS = MediaLimits()
