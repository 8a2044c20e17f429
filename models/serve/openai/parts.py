"""The media of a message: data: URLs, files of a declared folder, lists of frames. Nothing is fetched from anywhere."""

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from models.serve.openai.errors import ApiError, invalid

Kind = Literal["image", "video", "frames"]

_DATA = re.compile(r"data:(?P<type>[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)(?:;[A-Za-z0-9=._+-]+)*;base64,", re.ASCII)
_DETAIL = (None, "auto", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One medium as it was sent: its URL, or those of its frames with how many of them make a second.

    where: its place in the request, for messages.
    """

    kind: Kind
    urls: tuple[str, ...]
    where: str
    fps: float = 1.0


def read_part(part: Mapping[str, Any], where: str) -> Upload:
    """Return the medium that a part of a message holds.

    image_url: {"url": ...}, video_url: {"url": ...}, video: [url, ...] with an optional fps. Raises ApiError.
    """
    kind = part.get("type")
    if kind in ("image_url", "video_url"):
        value = part.get(kind)
        url = value.get("url") if isinstance(value, Mapping) else value
        if not isinstance(url, str):
            raise invalid(f"{where}.{kind}", "expected an object with a url")
        # how a picture is looked at is the server's setting; OpenAI's wish is read and not followed
        if isinstance(value, Mapping) and value.get("detail") not in _DETAIL:
            raise invalid(f"{where}.{kind}.detail", "expected auto, low or high")
        return Upload(kind="image" if kind == "image_url" else "video", urls=(url,), where=where)
    if kind == "video":
        urls, fps = part.get("video"), part.get("fps", 1.0)
        if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
            raise invalid(f"{where}.video", "expected a list of the frames' data: URLs; a video file is a video_url")
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:
            raise invalid(f"{where}.fps", "expected frames per second above 0 and at most 1000")
        return Upload(kind="frames", urls=tuple(urls), where=where, fps=float(fps))
    raise invalid(f"{where}.type", "expected text, image_url, video_url or video", "unknown_part")


def content(url: str, where: str, folder: Path | None, most: int) -> bytes:
    """Return the bytes of a URL: of base64 data, or of a file in `folder` (resolved), where one is declared.

    most: bytes of a file. Raises ApiError for any other URL, and for what is no file in the folder.
    """
    if url[:5].lower() == "data:":
        return _decoded(url, where)
    if url[:8].lower() == "file:///" and folder is not None:
        return _file(unquote(url[7:]), where, folder, most)
    if url[:5].lower() == "file:":
        raise ApiError(403, f"{where}: this server reads no files; send the content as a data: URL", param=where)
    raise invalid(where, "only data: URLs are taken (data:image/png;base64,...): nothing is fetched", "url_refused")


def _decoded(url: str, where: str) -> bytes:
    found = _DATA.match(url)
    if found is None:
        raise invalid(where, "expected data:TYPE;base64,CONTENT")
    try:
        data = base64.b64decode(url[found.end() :].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise invalid(where, "the content of the data: URL is no base64") from error
    if not data:
        raise invalid(where, "the data: URL is empty")
    return data


def _file(name: str, where: str, folder: Path, most: int) -> bytes:
    # one message for all: what is outside the folder is not told apart from what is not there
    refused = ApiError(403, f"{where}: no such file in the folder of this server", param=where)
    try:
        path = Path(name).resolve(strict=True)
        if not path.is_relative_to(folder):
            raise refused
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError, RuntimeError) as error:
        raise refused from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        os.close(handle)
        large = ApiError(413, f"{where}: the file is larger than {most} bytes", param=where)
        raise large if stat.S_ISREG(found.st_mode) else refused
    with os.fdopen(handle, "rb") as file:
        return file.read(most)
