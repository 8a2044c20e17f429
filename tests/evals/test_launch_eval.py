"""A sweep of anyres-eval: local processes leave the same files as a sequential run, and a failed point is named."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from evals.main import main
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor

ROOT = Path(__file__).resolve().parent.parent.parent
# they depend on the answers alone
FILES = ("result.json", "result.md", "samples.jsonl")


def folders(place: Path) -> dict[str, dict[str, bytes]]:
    return {
        run.name: {name: (run / name).read_bytes() for name in FILES} for run in (place / "runs" / "eval").iterdir()
    }


def test_local_jobs_equal_a_sequential_sweep(
    tiny: tuple[LMM, Processor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "model", *tiny)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    records = [{"media": f"{n}.png", "question": f"what is in line {n}?", "answer": "cat"} for n in range(3)]
    for place in (tmp_path / "here", tmp_path / "jobs"):
        place.mkdir()
        for n in range(3):
            Image.new("RGB", (60 + 20 * n, 60), (80 * n, 0, 0)).save(place / f"{n}.png")
        (place / "mine.jsonl").write_text("\n".join(map(json.dumps, records)))
    # the second point fails, wherever it runs
    words = ["-m", "task=folder", "task.file=mine.jsonl", f"model={tmp_path / 'model'}", "device=cpu"]
    words += ["grid.overview=none,wrong"]
    monkeypatch.chdir(tmp_path / "here")
    assert main(words) == 2
    assert "failed: ++grid.overview=wrong: exit status 2" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "jobs")
    assert main([*words, "launcher=joblib", "launcher.threads=1"]) == 2
    printed = capsys.readouterr()
    assert "failed: ++grid.overview=wrong: exit status 2" in printed.err and "wrong" in printed.err
    assert printed.out.count("| all | 3 |") == 1
    here, jobs = folders(tmp_path / "here"), folders(tmp_path / "jobs")
    assert here == jobs and len(here) == 1
