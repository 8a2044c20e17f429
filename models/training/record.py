"""What a stage was begun with, beside its checkpoints: a folder goes on with the same run and with no other."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.checkpoints.format import read_json, write_json
from models.checkpoints.record import record_of
from models.training.stage import StageSpec

RECORD = "stage.json"
# a run may be made longer, saved and told at other steps
_FREE = ("steps", "save_every", "log_every", "compile")


def begin(folder: Path, source: Path, data: Path, media: Path, labels: str, stage: StageSpec) -> None:
    """Write what the stage in `folder` is made from, or check that it is what the folder began with.

    The conversations count by their SHA-256, the source as in `record_of`. Raises ValueError naming what differs.
    """
    settings = {key: value for key, value in asdict(stage).items() if key not in _FREE}
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    made = record_of(source, data_sha256=digest, media=str(media), labels=labels, stage=settings)
    # as it reads back: tuples are lists there
    record: dict[str, Any] = json.loads(json.dumps(made))
    path = folder / RECORD
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
        return
    begun = read_json(path)
    differing = sorted(key for key in {*begun, *record} if begun.get(key) != record.get(key))
    if differing:
        raise ValueError(
            f"{folder}: holds a stage that was begun with another {', '.join(differing)}; use another out="
        )
