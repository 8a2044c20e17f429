"""The learning curve is drawn from the training loop's own log."""

import json
from pathlib import Path

import pytest
from PIL import Image

from models.training.curve import draw_curve, read_log


def test_a_curve_of_two_stages(tmp_path: Path) -> None:
    logs = []
    for name, extra in (("patches", {}), ("small", {"place": 0.5, "pointer": 0.2})):
        path = tmp_path / f"{name}.jsonl"
        lines = [{"step": s, "seconds": 60.0 * s, "loss": 3.0 / s, "right": s / 4, **extra} for s in (1, 2, 3)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        logs.append((name, path))
    draw_curve(logs, tmp_path / "curve.png")
    picture = Image.open(tmp_path / "curve.png")
    assert picture.width > 2 * 250 and picture.height > 200
    assert len(set(picture.convert("L").tobytes())) > 20


def test_an_empty_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="an empty log has no curve"):
        read_log(tmp_path / "log.jsonl")
