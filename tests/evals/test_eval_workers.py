"""anyres-eval with two processes: the files of one, and its parts apart, as a user types them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from evals.main import main
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor

FILES = ("result.json", "result.md", "samples.jsonl")


@pytest.fixture
def words(tiny: tuple[LMM, Processor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "model", *tiny)
    records = []
    for name, color in (("a b.png", "red"), ("c.png", "green"), ("d.png", "blue")):
        Image.new("RGB", (90, 60), color).save(name)
        records += [{"media": name, "question": f"what is in line {n}?", "answer": "cat"} for n in (1, 2)]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, records)))
    return ["task=folder", "task.file=mine.jsonl", "model=model", "device=cpu", "grid.overview=none"]


def test_two_processes_then_one(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "out=two", "workers=2", "steps=predict"]) == 0
    assert "|" not in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "two").glob("*.jsonl"))
    assert names == ["predictions.0-of-2.jsonl", "predictions.1-of-2.jsonl"]
    # no model is needed from here on
    assert main([*words, "out=two", "steps=score"]) == 0
    assert "| all | 6 |" in capsys.readouterr().out
    assert main([*words, "out=one"]) == 0
    for name in FILES:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
