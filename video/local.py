"""Which paths are taken for media: regular local files, nothing else."""

import os
import re
import stat
from pathlib import Path

from video.errors import MediaError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def local_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular file that can be read (links followed), as given.

    Raises MediaError for bytes, URLs, missing files, folders, pipes and devices; nothing is opened that could block.
    """
    if isinstance(path, (bytes, bytearray, memoryview)):
        raise MediaError("not_local", "<bytes>", "expected the path of a local file, got bytes")
    name = os.fspath(path)
    if not isinstance(name, str):
        raise MediaError("not_local", repr(name), "expected the path of a local file as text")
    file = Path(name)
    try:
        mode = file.stat().st_mode
    except OSError as error:
        if _URL.match(name):
            raise MediaError("not_local", name, "expected a local file, got a URL; download it first") from error
        raise MediaError("missing", name, error.strerror or str(error)) from error
    except ValueError as error:
        raise MediaError("missing", repr(name), str(error)) from error
    if not stat.S_ISREG(mode):
        raise MediaError("not_a_file", name, "expected a regular file, got a folder, pipe, socket or device")
    if not os.access(file, os.R_OK):
        raise MediaError("missing", name, "the file may not be read (permissions)")
    return file
