"""What was converted from what: a file beside the weights, written before them."""

import hashlib
from pathlib import Path
from typing import Any

from models.checkpoints.format import SPEC
from models.checkpoints.load import layout_of

RECORD = "conversion.json"
WEIGHTS = (".safetensors", ".bin")


def record_of(source: Path, **options: Any) -> dict[str, Any]:
    """Return the record of a conversion from `source`: its layout, its config and weights files, and the options.

    The config by its SHA-256, the weights by their sizes and times of change: reading them all would double the work.
    """
    layout = layout_of(source)
    config = source / (SPEC if layout == "anyres" else "config.json")
    weights = {path.name: path.stat() for path in sorted(source.iterdir()) if path.suffix in WEIGHTS}
    return {
        "source": source.resolve().name,
        "source_layout": layout,
        "source_config_sha256": hashlib.sha256(config.read_bytes()).hexdigest(),
        "source_weights": {name: {"bytes": s.st_size, "changed_ns": s.st_mtime_ns} for name, s in weights.items()},
        **options,
    }
