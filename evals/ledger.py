"""The append-only record of a run: JSON lines, a header with the run's config, then one line a sample.

A damaged line is noticed, counted and done again. A micro-batch is on the disk before the next one starts: after a
kill, a crash or a full disk all of them can be read, and at most the batch in flight is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from evals.lines import LineFile, decode, read_whole
from evals.result import Prediction

FORMAT = 1
Config = Mapping[str, str | int | float | bool | None]


class Ledger:
    """The predictions of one run, open for appending by one process at a time.

    `config` says everything that an answer depends on; resuming with another one is a ValueError that names the keys.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        self.damaged = 0
        self._file = LineFile(path)
        try:
            self._load(config)
        except BaseException:
            self._file.close()
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
        self._file.append([asdict(prediction) for prediction in predictions])
        self.predictions.update((prediction.id, prediction) for prediction in predictions)

    def close(self) -> None:
        """Release the file and its lock."""
        self._file.close()

    def _load(self, config: Config) -> None:
        lines = self._file.read()
        if not lines:
            self._file.append([{"anyres_ledger": FORMAT, "config": dict(config)}])
            return
        header, self.predictions, self.damaged = read_lines(self.path, lines)
        _check_config(self.path, header, config)


def read(path: Path) -> tuple[Config, dict[str, Prediction], int]:
    """Return config, predictions by id and the number of damaged lines of a ledger, without writing to it."""
    return read_lines(path, read_whole(path))


def read_lines(path: Path, lines: Sequence[bytes]) -> tuple[Config, dict[str, Prediction], int]:
    """Return what whole lines say; `path` is for messages. A damaged header or another format is a ValueError."""
    first, *rest = lines or [b""]
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
