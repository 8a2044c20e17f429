"""Which paths are taken for media: regular local files, nothing else."""

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from anyres.errors import MediaError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")


def local_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular file that can be read (links followed), as given.

    Raises MediaError for bytes, URLs, missing files, folders, pipes and devices; nothing is opened that could block.
    """
    if isinstance(path, (bytes, bytearray, memoryview)):
        raise MediaError("<bytes>", "not_local", "expected the path of a local file, got bytes")
    name = os.fspath(path)
    if not isinstance(name, str):
        raise MediaError(repr(name), "not_local", "expected the path of a local file as text")
    file = Path(name)
    try:
        mode = file.stat().st_mode
    except OSError as error:
        if _URL.match(name):
            raise MediaError(name, "not_local", "expected a local file, got a URL") from error
        raise MediaError(name, "missing", error.strerror or str(error)) from error
    except ValueError as error:
        raise MediaError(name, "missing", str(error)) from error
    if not stat.S_ISREG(mode):
        raise MediaError(name, "not_a_file", "expected a regular file, got a folder, pipe, socket or device")
    if not os.access(file, os.R_OK):
        raise MediaError(name, "missing", "the file may not be read (permissions)")
    return file


def open_local(path: str | os.PathLike[str]) -> BinaryIO:
    """Return the open file of a path that `local_file` takes; what was opened is looked at once more.

    Raises MediaError as `local_file` does.
    """
    file = local_file(path)
    try:
        # a pipe that takes the file's place in between must not block either
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(path, "missing", error.strerror or str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MediaError(path, "not_a_file", "expected a regular file, got a folder, pipe, socket or device")
    return os.fdopen(descriptor, "rb")
