"""Decode in processes of their own: a decoder that crashes or hangs costs its sample, and nothing else.

Each process is a fresh Python (evals.decoder) without torch, started once and replaced when it dies. It is asked one
medium at a time; pixels come back through its pipe as they are, and nothing that it says is ever unpickled.
"""

from __future__ import annotations

import json
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from PIL import Image

from anyres.geometry import HW
from evals.ahead import MediaFailed
from evals.sample import Media
from video.clip import ClipMeta, VideoClip, VideoSpec
from video.reader import Backend

LENGTH = struct.Struct("<Q")
# most bytes of the JSON in front of the pixels
MOST_WORDS = 1 << 24


class Decoders:
    """`count` processes that decode media; usable from as many threads.

    seconds: how long one medium may take. max_bytes: of one medium's pixels. Use as a context manager.
    """

    def __init__(self, count: int, seconds: float = 300.0, max_bytes: int = 16 << 30) -> None:
        if count < 1:
            raise ValueError(f"decoders: expected at least 1, got {count}")
        self.count, self.seconds, self.max_bytes = count, seconds, max_bytes
        self.replaced = 0
        self._free: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(count):
            # started by the first medium that needs it
            self._free.put(None)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(self.count):
            try:
                process = self._free.get(timeout=5)
            except queue.Empty:
                # a thread still holds it; its own end stops it
                continue
            if process is not None:
                process.stop()

    def decode(self, media: Media, video: VideoSpec, reader: Backend = "auto") -> Image.Image | VideoClip:
        """Return what evals.decoding.decode returns for a file; MediaFailed too where the process dies or hangs."""
        process = self._free.get() or _Process()
        alive = False
        try:
            answer = process.ask(media, video, reader, self.seconds, self.max_bytes)
            alive = True
        except _Died as error:
            self.replaced += 1
            raise MediaFailed(f"{media.path}: {error}") from None
        finally:
            if not alive:
                process.stop()
            self._free.put(process if alive else None)
        if isinstance(answer, str):
            raise MediaFailed(answer)
        return answer


class _Died(Exception):
    """A decoder that gave no answer; the message says why."""


class _Process:
    """One decoder."""

    def __init__(self) -> None:
        # the search path as here, so that a checkout works as an installed package does
        start = f"import sys; sys.path[:] = {sys.path!r}; from evals.decoder import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(
        self, media: Media, video: VideoSpec, reader: Backend, seconds: float, max_bytes: int
    ) -> Image.Image | VideoClip | str:
        """Return the decoded medium, or the words of its error; _Died where the process does not answer."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            send(self._stdin, request(media, video, reader))
            return _received(self._stdout, max_bytes)
        except (EOFError, BrokenPipeError) as error:
            if late.is_set():
                raise _Died(f"its decoder gave no answer in {seconds:g} s") from None
            raise _Died(f"its decoder died ({self._ending()})") from error
        finally:
            timer.cancel()

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def _ending(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return f"signal {-code}" if code < 0 else f"status {code}"

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout


def request(media: Media, video: VideoSpec, reader: Backend) -> dict[str, Any]:
    """Return a medium in words that JSON has."""
    named = {"key": media.key, "kind": media.kind, "path": str(media.path), "span": media.span, "fps": media.fps}
    return {"media": named, "video": asdict(video), "reader": reader}


def from_request(words: Mapping[str, Any]) -> tuple[Media, VideoSpec, Backend]:
    """Return the medium that `request` described."""
    named = words["media"]
    span = None if named["span"] is None else (named["span"][0], named["span"][1])
    media = Media(key=named["key"], kind=named["kind"], path=Path(named["path"]), span=span, fps=named["fps"])
    return media, VideoSpec(**words["video"]), words["reader"]


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


def _received(pipe: IO[bytes], max_bytes: int) -> Image.Image | VideoClip | str:
    words = receive(pipe)
    if "error" in words:
        return str(words["error"])
    shape = tuple(int(side) for side in words["shape"])
    if min(shape) < 0 or int(np.prod(shape, dtype=np.int64)) > max_bytes:
        raise _Died(f"its decoder gave pixels of shape {shape}, more than {max_bytes} bytes")
    pixels = np.empty(shape, dtype=np.uint8)
    _fill(pipe, pixels)
    if "meta" not in words:
        return Image.fromarray(pixels)
    return VideoClip(
        frames_FHWC=pixels,
        times_F=np.array(words["times"], dtype=np.float64),
        indices=tuple(words["indices"]),
        reader=words["reader"],
        meta=ClipMeta(**{**words["meta"], "size": HW(*words["meta"]["size"])}),
    )


def _fill(pipe: IO[bytes], pixels: np.ndarray) -> None:
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
