"""Messages between a decoder process and the one that asks it: JSON, and pixels as they are. Nothing is unpickled."""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

from numpy import ndarray

LENGTH = struct.Struct("<Q")
# most bytes of the JSON in front of the pixels
MOST_WORDS = 1 << 24


def send(pipe: IO[bytes], words: Mapping[str, Any], pixels: memoryview | None = None) -> None:
    """Write one message: the length of its JSON, the JSON, and pixels whose shape the JSON tells."""
    data = json.dumps(words).encode()
    pipe.write(LENGTH.pack(len(data)) + data)
    if pixels is not None:
        pipe.write(pixels)
    pipe.flush()


def receive(pipe: IO[bytes]) -> dict[str, Any]:
    """Return the JSON of the next message; EOFError at the end of the pipe."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    if length > MOST_WORDS:
        raise EOFError
    return json.loads(_exactly(pipe, length))


def receive_pixels(pipe: IO[bytes], pixels: ndarray) -> None:
    """Fill an array with the bytes that follow a message; EOFError where they end before."""
    view = memoryview(pixels).cast("B") if pixels.size else memoryview(b"")
    done = 0
    while done < len(view):
        read = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        done += read


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data
