"""anyres-eval from its command line: a run and its resume, settings on top of the model's own, one-line errors."""

import json
from pathlib import Path

import pytest
from PIL import Image

from evals.main import build_task, main
from evals.tasks.build import OWN, TASKS
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor

Tiny = tuple[LMM, Processor]


@pytest.fixture(scope="module")
def folder(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    save(path, *tiny)
    return path


@pytest.fixture
def words(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (90, 60), "red").save("a.png")
    records = [{"media": "a.png", "question": f"what is in line {n}?", "answer": "cat"} for n in (1, 2)]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, records)))
    Path("empty.jsonl").write_text("\n")
    return ["task=folder", "task.file=mine.jsonl", f"model={folder}", "device=cpu"]


def test_run_resume_and_score_again(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "| all | 2 |" in out
    (run,) = (tmp_path / "runs" / "eval").iterdir()
    assert str(run.relative_to(tmp_path)) in out
    ledger = (run / "predictions.jsonl").read_bytes()
    # other batches and the blind control do not make another run; only one picture: nothing to exchange
    assert main([*words, "batch.samples=1"]) == 0
    assert main([*words, "steps=score"]) == 0
    assert (run / "predictions.jsonl").read_bytes() == ledger
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["runs"]


def test_settings_on_top_of_the_models_own(words: list[str], tmp_path: Path) -> None:
    layouts = {}
    for name, extra in [("own", []), ("key", ["grid.overview=none"]), ("group", ["grid=3x3"])]:
        assert main([*words, *extra, f"out={name}"]) == 0
        layouts[name] = json.loads((tmp_path / name / "run.json").read_text())["config"]
    keys = ("model.grid.layouts", "model.grid.overview")
    assert [layouts["own"][key] for key in keys] == ["[[2, 2]]", "squash"]
    assert [layouts["key"][key] for key in keys] == ["[[2, 2]]", "none"]
    assert "[3, 3]" in layouts["group"]["model.grid.layouts"]


def test_failed_samples_end_with_status_1(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").unlink()
    assert main([*words, "out=run"]) == 1
    assert "2 of 2 samples failed (max_failed=0.01), the first folder/mine/" in capsys.readouterr().err
    assert main([*words, "out=run", "max_failed=1"]) == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["task=nonsense"], "unknown task, expected one of"),
        (["task.files=x"], "task.files"),
        (["limit=0"], "limit: expected at least 1, got 0"),
        (["batch.samples=0"], "at least 1 sample"),
        (["grid.layout=1"], "grid.layout"),
        (["photo.jpg"], "photo.jpg: expected key=value"),
        (["blind=true"], "no other to show"),
        (["task.file=missing.jsonl"], "missing.jsonl: No such file or directory"),
        (["task.file=empty.jsonl"], "empty.jsonl: no questions"),
        (["judge=endpoint"], "judge: needs judge.url=... and judge.model=..."),
        (["model=nowhere"], "nowhere"),
        (["steps=score", "out=empty"], "empty"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: list[str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *extra]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("anyres-eval: ")
    assert message in error


def test_missing_values_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task=nextqa-mc"]) == 2
    assert "task=nextqa-mc: needs task.csv=... and task.videos=..." in capsys.readouterr().err


def test_another_config_in_a_folder_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "out=run"]) == 0
    assert main([*words, "out=run", "grid=1x1"]) == 2
    assert "another config (model.grid.layouts was" in capsys.readouterr().err


def test_every_task_has_its_yaml(root: Path) -> None:
    files = {path.stem for path in (root / "conf" / "task").glob("*.yaml")}
    # a file beyond the tasks' own is a variant of one, named behind it
    variants = {name for name in files - set(TASKS) if name.startswith(tuple(f"{task}-" for task in TASKS))}
    assert files - variants == {*TASKS, OWN}


def test_task_by_name() -> None:
    with pytest.raises(ValueError, match=r"task\.name: got 'x'"):
        build_task({"name": "x"})
