"""The append-only record of a run: JSON lines, a header with the run's config, then one line a sample.

Every line ends in the CRC-32 of what stands before it, so a damaged line is noticed, counted and done again. A
micro-batch is on the disk (fsync) before the next one starts: after a kill, a crash or a full disk all of them can be
read, and at most the batch in flight is repeated. A last line without its newline is torn: it is cut off and redone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from evals.result import Prediction

FORMAT = 1
Config = Mapping[str, str | int | float | bool | None]

_CRC = re.compile(rb', "crc": "([0-9a-f]{8})"\}$')


class Ledger:
    """The predictions of one run, open for appending by one process at a time.

    `config` says everything that an answer depends on; resuming with another one is a ValueError that names the keys.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self.damaged = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self._load(config)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Write one line each and wait until the disk has them; an id that is already there is a ValueError."""
        for prediction in predictions:
            if prediction.id in self.predictions:
                raise ValueError(f"{self.path}: {prediction.id} is already there")
        self._write(b"".join(encode(asdict(prediction)) for prediction in predictions))
        self.predictions.update((prediction.id, prediction) for prediction in predictions)

    def close(self) -> None:
        """Release the file and its lock."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.path}: another process is writing to this run") from None

    def _load(self, config: Config) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file, whole)
        if whole == 0:
            self._write(encode({"anyres_ledger": FORMAT, "config": dict(config)}))
            _sync_folder(self.path)
            return
        header, self.predictions, self.damaged = read_lines(self.path, data[:whole])
        _check_config(self.path, header, config)

    def _write(self, data: bytes) -> None:
        start = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError as error:
            # take the half-written batch back, so that the file ends with a whole line
            os.ftruncate(self._file, start)
            raise _located(error, self.path) from error


def encode(record: Mapping[str, object]) -> bytes:
    """Return `record` as one line of ASCII JSON whose last key is the CRC-32 of the line without it."""
    body = json.dumps(record, allow_nan=False).encode("ascii")
    return body[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(body)


def decode(line: bytes) -> dict[str, object] | None:
    """Return the record of one line, or None when the line is damaged."""
    match = _CRC.search(line)
    if match is None:
        return None
    body = line[: match.start()] + b"}"
    return json.loads(body) if int(match[1], 16) == zlib.crc32(body) else None


def read(path: Path) -> tuple[Config, dict[str, Prediction], int]:
    """Return config, predictions by id and the number of damaged lines of a ledger, without writing to it."""
    data = path.read_bytes()
    return read_lines(path, data[: data.rfind(b"\n") + 1])


def read_lines(path: Path, data: bytes) -> tuple[Config, dict[str, Prediction], int]:
    """Return what whole lines say; `path` is for messages. A damaged header or another format is a ValueError."""
    first, *rest = data.split(b"\n")[:-1] or [b""]
    header = decode(first)
    if header is None or header.get("anyres_ledger") != FORMAT:
        raise ValueError(
            f"{path}: its first line is not a whole header of format {FORMAT}; move the file away to start anew"
        )
    config = header["config"]
    assert isinstance(config, dict)
    predictions: dict[str, Prediction] = {}
    damaged = 0
    for line in rest:
        record = decode(line)
        if record is None:
            damaged += 1
            continue
        prediction = Prediction.parse(record)
        predictions.setdefault(prediction.id, prediction)
    return config, predictions, damaged


def _check_config(path: Path, found: Config, asked: Config) -> None:
    keys = [key for key in sorted({*found, *asked}) if found.get(key) != asked.get(key)]
    if keys:
        differences = "; ".join(f"{key} was {found.get(key)!r}, is {asked.get(key)!r}" for key in keys[:4])
        more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
        raise ValueError(f"{path}: this run was started with another config ({differences}{more}); use another folder")


def _sync_folder(path: Path) -> None:
    """Wait until the folder's entry of the new file `path` is on the disk."""
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        raise _located(error, path) from error
    finally:
        os.close(handle)


def _located(error: OSError, path: Path) -> OSError:
    """Return the error with the file's path and the room left on its disk."""
    free = shutil.disk_usage(path.parent).free
    return OSError(error.errno, f"{error.strerror} ({free} bytes free)", str(path))
