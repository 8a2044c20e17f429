"""Tasks from outside: the page's example by its path, and built and installed as a package; what is refused."""

import importlib
import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from PIL import Image

from evals.ablation.main import main as ablate
from evals.main import main
from evals.tasks.build import GROUP, build_task, from_file, outside, task_class, task_words
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor

Tiny = tuple[LMM, Processor]


@pytest.fixture
def toy(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page, and three pictures with their CSV, in the working folder."""
    page = (root / "docs" / "tasks.md").read_text()
    for name, code in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(code)
    lines = ["name,image,colour"]
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (90, 60), colour).save(tmp_path / f"{colour}.png")
        lines.append(f"{colour}-1,{colour}.png,{colour}")
    (tmp_path / "colours.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(tiny: Tiny, toy: Path) -> list[str]:
    save(toy / "model", *tiny)
    return ["task.file=colours.csv", f"model={toy / 'model'}", "device=cpu", "out=run"]


def test_a_task_by_its_path(tiny: Tiny, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task.path=colours.py", *words(tiny, toy)]) == 0
    out = capsys.readouterr().out
    assert "# colours (short@v1 colour@v1)" in out
    assert "| all | 3 |" in out
    ids = [json.loads(line)["id"] for line in (toy / "run" / "samples.jsonl").read_text().splitlines()]
    assert ids == ["colours/test/blue-1", "colours/test/green-1", "colours/test/red-1"]
    task = build_task({"name": None, "path": "colours.py", "file": "colours.csv"})
    sample = task.samples()[0]
    assert [task.score(sample, task.parse(sample, text)) for text in ("Red.", "it is red", "blue", "")] == [1, 1, 0, 0]


def test_a_sweep_prices_a_task_by_its_path(tiny: Tiny, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = ["task.path=colours.py", *words(tiny, toy)[:2]]
    assert ablate(["ablation=token-target", "plan_only=true", *task]) == 0
    out = capsys.readouterr().out
    # three samples
    assert "n = 3: prices only" in out


def test_a_task_of_an_installed_package(
    tiny: Tiny, toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="needs setuptools>=77 to build the toy package")
    assert main(["task=colours", *words(tiny, toy)]) == 2
    assert "colours" in capsys.readouterr().err
    target = toy / "site"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            str(target),
            str(toy),
        ],
        check=True,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    monkeypatch.syspath_prepend(target)
    importlib.invalidate_caches()
    assert outside()["colours"].value == "colours:Colours"
    assert main(["task=colours", *words(tiny, toy)]) == 0
    assert "| all | 3 |" in capsys.readouterr().out
    assert Path(sys.modules["colours"].__file__ or "").parent == target
    monkeypatch.delitem(sys.modules, "colours")


def test_words_of_tasks_from_outside() -> None:
    assert task_words(["task=gqa", "task.split=x"]) == ["task=gqa", "task.split=x"]
    assert task_words(["task.path=a.py", "limit=3", "task.file=b"]) == [
        "task=own", "++task.path=a.py", "limit=3", "++task.file=b",
    ]  # fmt: skip


def test_a_name_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name="gqa", value="mine:Gqa", group=GROUP)]
    monkeypatch.setattr("evals.tasks.build.entry_points", lambda group: points)
    with pytest.raises(ValueError, match=r"gqa = mine:Gqa: the name is taken by evals\.tasks\.gqa:Gqa"):
        outside()
    points[:] = [EntryPoint(name="x", value=value, group=GROUP) for value in ("a:X", "b:X")]
    with pytest.raises(ValueError, match="x = b:X: the name is taken by a:X"):
        outside()


def test_what_is_no_task_is_refused(toy: Path, tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"task\.path: no file nothing\.py"):
        from_file("nothing.py")
    Path("broken.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(ValueError, match=r"broken\.py: ModuleNotFoundError: No module named 'nothing_of_this_name'"):
        from_file("broken.py")
    Path("empty.py").write_text("from evals.tasks.folder import Folder\n")
    with pytest.raises(ValueError, match=r"empty\.py: has the tasks \[\], expected one"):
        from_file("empty.py")
    Path("two.py").write_text(Path("colours.py").read_text() + "\n\nclass Half(Task):\n    pass\n")
    with pytest.raises(ValueError, match=r"has the tasks \['Colours', 'Half'\], expected one, or FILE\.py:Class"):
        from_file("two.py")
    assert from_file("two.py:Colours").__name__ == "Colours"
    with pytest.raises(ValueError, match="is no task; expected a frozen dataclass"):
        from_file("two.py:Half")
    with pytest.raises(ValueError, match=r"task\.name: got 'colour', expected one of \['activitynetqa', 'ai2d'"):
        task_class("colour")
    assert main(["task.path=colours.py", "model=pocket"]) == 2
    assert capsys.readouterr().err == "anyres-eval: task.file: missing, Colours needs Path\n"
