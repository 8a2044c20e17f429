"""media.checksums of the commands: a file that is not the recorded one is a media_error, told with its reason."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from conf.main import compose
from evals.ablation.main import main as ablate
from evals.main import main
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor
from models.serve.main import main as ask

Tiny = tuple[LMM, Processor]


@pytest.fixture(scope="module")
def folder(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    save(path, *tiny)
    return path


@pytest.fixture
def words(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two questions about two pictures, the second of which was changed after its checksum was recorded."""
    monkeypatch.chdir(tmp_path)
    lines = []
    for name in ("a.png", "b.png"):
        Image.new("RGB", (90, 60), "red").save(name)
        lines.append(f"{hashlib.sha256(Path(name).read_bytes()).hexdigest()}  {name}\n")
    Image.new("RGB", (90, 60), "blue").save("b.png")
    Path("SHA256SUMS").write_text("".join(lines))
    records = [{"media": name, "question": "what is it?", "answer": "cat"} for name in ("a.png", "b.png")]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, records)))
    return ["task=folder", "task.file=mine.jsonl", f"model={folder}", "device=cpu"]


def statuses(run: Path) -> dict[str, str]:
    lines = (run / "samples.jsonl").read_text().splitlines()
    return {row["id"]: row["prediction"]["status"] for row in map(json.loads, lines)}


@pytest.mark.parametrize("decoders", [0, 1])
def test_a_changed_file_is_a_media_error(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], decoders: int
) -> None:
    assert main([*words, f"decoders={decoders}", "out=plain"]) == 0
    assert set(statuses(tmp_path / "plain").values()) == {"ok"}
    assert main([*words, f"decoders={decoders}", "out=known", "media.checksums=SHA256SUMS"]) == 1
    assert sorted(statuses(tmp_path / "known").values()) == ["media_error", "ok"]
    assert "1 of 2 samples failed" in capsys.readouterr().err
    ledger = (tmp_path / "known" / "predictions.jsonl").read_text()
    assert "b.png: its sha256 is" in ledger
    assert "[checksum]" in ledger


def test_put_right_the_run_goes_on(words: list[str], tmp_path: Path) -> None:
    assert main([*words, "out=run", "media.checksums=SHA256SUMS"]) == 1
    Image.new("RGB", (90, 60), "red").save("b.png")
    assert main([*words, "out=run", "media.checksums=SHA256SUMS", "retry_failed=true"]) == 0
    assert set(statuses(tmp_path / "run").values()) == {"ok"}


def test_files_that_are_not_listed(words: list[str], tmp_path: Path) -> None:
    sums = Path("SHA256SUMS").read_text().splitlines()
    Path("SHA256SUMS").write_text(sums[0] + "\n")
    assert main([*words, "out=refuse", "media.checksums=SHA256SUMS"]) == 1
    assert sorted(statuses(tmp_path / "refuse").values()) == ["media_error", "ok"]
    assert main([*words, "out=read", "media.checksums=SHA256SUMS", "media.unlisted=read"]) == 0


def test_doctor_names_them(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "doctor=true"]) == 0
    assert main([*words, "doctor=true", "media.checksums=SHA256SUMS"]) == 1
    assert "b.png: its sha256 is" in capsys.readouterr().out


def test_mistakes_are_told_in_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "media.checksums=nowhere"]) == 2
    assert "nowhere: checksums cannot be read" in capsys.readouterr().err
    assert main([*words, "media.unlisted=skip"]) == 2
    assert "unlisted" in capsys.readouterr().err


def test_a_sweep_counts_them(words: list[str], tmp_path: Path) -> None:
    ablate([*words, "ablation=resolution", "out=sweep", "media.checksums=SHA256SUMS"])
    ledgers = [path.read_text() for path in (tmp_path / "sweep").rglob("predictions.jsonl")]
    assert ledgers
    assert all("[checksum]" in ledger for ledger in ledgers)


def test_asking_about_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    model = next(word for word in words if word.startswith("model="))
    assert ask(["a.png", "what?", model, "max_new_tokens=2", "media.checksums=SHA256SUMS"]) == 0
    capsys.readouterr()
    assert ask(["b.png", "what?", model, "max_new_tokens=2", "media.checksums=SHA256SUMS"]) != 0
    assert "b.png: its sha256 is" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval", "ask", "ablate"])
def test_nothing_is_compared_unless_asked_for(command: str) -> None:
    assert compose(command, ["source=pocket"])[0].mapping["media"] == {"checksums": None, "unlisted": "refuse"}
