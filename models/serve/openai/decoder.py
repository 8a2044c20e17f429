"""Decode a request's media in a process of their own, started ahead, one for each request."""

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from anyres.geometry import HW
from models.serve.openai.child import PIXELS, REPLY
from models.serve.openai.errors import ApiError
from models.serve.openai.limits import MIB, Limits
from models.serve.openai.parts import Upload, content
from video.clip import ClipMeta, VideoClip, VideoSpec

if TYPE_CHECKING:
    from models.example import Medium

# a process that has not read its libraries by then does not come
_START_S = 60.0


class Child:
    """A decoding process in an empty folder of a random name, which only this user can open."""

    def __init__(self, limits: Limits, root: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=root))
        self._said: dict[str, Any] | None = None
        bounds = (limits.decode_mib * MIB, int(limits.decode_s), max(limits.body_bytes, limits.decoded_bytes))
        environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(self.folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "models.serve.openai.child", *map(str, bounds)],
            cwd=self.folder,
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ready(self) -> dict[str, Any]:
        """Return what the process says of itself once it is ready; OSError where it does not come."""
        assert self.process.stdout is not None
        if self._said is not None:
            return self._said
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if waiting.select(_START_S) else b""
        if not line:
            raise OSError("the decoding process did not start")
        self._said = json.loads(line)
        return self._said

    def run(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Return the reply to a job; {} from a process that ended without one, or was ended after `seconds`."""
        try:
            self.process.communicate(json.dumps(job).encode() + b"\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            return {}
        return json.loads(self.read(REPLY) or b"{}")

    def read(self, name: str) -> bytes:
        """Return a file that the process left, b"" for none; links are not followed."""
        try:
            handle = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return b""
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def end(self) -> None:
        """End the process and remove its folder."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Decoder:
    """Opens uploads; may be called from several threads at once. folder: of which file:// URLs are read, or None.

    video: how clips are sampled.
    """

    def __init__(self, limits: Limits, video: VideoSpec, folder: Path | None = None) -> None:
        self.limits, self.video = limits, video
        self.folder = None if folder is None else folder.resolve(strict=True)
        self._root = Path(tempfile.mkdtemp(prefix="anyres-serve-"))
        self._lock = Lock()
        self._spare: Child | None = Child(limits, self._root)

    def check(self) -> bool:
        """Return whether a decoding process has no network; OSError where none starts."""
        child = self._take()
        try:
            return not child.ready()["network"]
        finally:
            child.end()

    def contents(self, uploads: Sequence[Upload]) -> list[list[bytes]]:
        """Return the bytes of each upload's files; ApiError where there are too many, or one is no data."""
        limits = self.limits
        if sum(len(upload.urls) for upload in uploads) > limits.media:
            raise ApiError(400, f"messages: more than {limits.media} pictures, clips and frames", param="messages")
        return [
            [content(url, upload.where, self.folder, limits.body_bytes) for url in upload.urls] for upload in uploads
        ]

    def open(self, uploads: Sequence[Upload], contents: Sequence[Sequence[bytes]]) -> "tuple[Medium, ...]":
        """Return the decoded media; blocks. Raises ApiError for a medium that cannot be decoded within the limits."""
        if not uploads:
            return ()
        child = self._take()
        try:
            child.ready()
            reply = child.run(self._job(child, uploads, contents), 2 * self.limits.decode_s)
            if "media" not in reply:
                raise _refused(reply, uploads)
            return _media(reply["media"], child.read(PIXELS))
        finally:
            child.end()

    def close(self) -> None:
        """End the waiting process and remove all files."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()
        shutil.rmtree(self._root, ignore_errors=True)

    def _take(self) -> Child:
        with self._lock:
            spare, self._spare = self._spare, Child(self.limits, self._root)
        return spare or Child(self.limits, self._root)

    def _job(self, child: Child, uploads: Sequence[Upload], contents: Sequence[Sequence[bytes]]) -> dict[str, Any]:
        items, number = [], 0
        for upload, files in zip(uploads, contents, strict=True):
            names = [f"{number + offset}.in" for offset in range(len(files))]
            for name, data in zip(names, files, strict=True):
                (child.folder / name).write_bytes(data)
            items.append({"kind": upload.kind, "files": names, "fps": upload.fps})
            number += len(files)
        limits = self.limits
        return {
            "items": items,
            "video": asdict(self.video),
            "pixels": limits.pixels,
            "bytes": limits.decoded_bytes,
        }


def _refused(reply: dict[str, Any], uploads: Sequence[Upload]) -> ApiError:
    index = int(reply.get("index", -1))
    where = uploads[index].where if 0 <= index < len(uploads) else "messages"
    reason = reply.get("refused", "takes too much time or memory to decode, or is damaged")
    return ApiError(400, f"{where}: the medium {reason}", code="invalid_media", param=where)


def _media(described: Sequence[dict[str, Any]], pixels: bytes) -> "tuple[Medium, ...]":
    media: list[Medium] = []
    offset = 0
    for one in described:
        shape = tuple(one["shape"])
        size = int(np.prod(shape))
        array = np.frombuffer(pixels, np.uint8, size, offset).reshape(shape)
        offset += size
        if one["kind"] == "image":
            media.append(Image.fromarray(array))
            continue
        meta = ClipMeta(size=HW(shape[1], shape[2]), **one["meta"])
        times_F = np.array(one["times"], np.float64)
        media.append(
            VideoClip(
                frames_FHWC=array, times_F=times_F, indices=tuple(one["indices"]), reader=one["reader"], meta=meta
            )
        )
    return tuple(media)
