"""A checkpoint folder as a preset: the files by which hydra composes its parts like those of a named model."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.spec import ModelSpec

# the name of every part that a checkpoint brings
NAME = "checkpoint"
PARTS = ("encoder", "llm", "grid", "video")


def write_preset(folder: Path, spec: ModelSpec) -> None:
    """Write the groups encoder, projector, llm, grid, video and model of a checkpoint's spec, each named "checkpoint".

    folder: goes on hydra's search path; model=checkpoint then sets every part, and grid=NAME still replaces one.
    """
    for part in PARTS:
        _write(folder / part, asdict(spec)[part])
    _write(folder / "projector", {"kind": spec.projector.kind})
    chosen = [{f"override /{part}": NAME} for part in (*PARTS, "projector")]
    own = ("name", "template", "dtype", "rope_factor", "rope_type", "tokenization", "several", "around", "times")
    model = {key: value for key, value in asdict(spec).items() if key in own}
    _write(folder / "model", {"defaults": chosen, "model": model}, head="# @package _global_\n")


def _write(group: Path, content: Mapping[str, Any], head: str = "") -> None:
    group.mkdir(parents=True, exist_ok=True)
    # JSON is YAML too
    (group / f"{NAME}.yaml").write_text(head + json.dumps(content, indent=1) + "\n", encoding="utf-8")
