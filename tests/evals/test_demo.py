"""make demo and anyres-ablate from their command lines, with a tiny model in place of the one that ships."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from evals.ablation.main import main as ablate
from evals.demo.main import main as demo
from evals.tasks.pocket import PocketVideo
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor

ROOT = Path(__file__).resolve().parents[2]
ONE_CLIP = (
    "sweeps.video.overrides=['ablation=clip-length','task=pocket-video','task.count=2','task.kinds=[first,order]']"
)


@pytest.fixture(scope="module")
def folder(tiny: tuple[LMM, Processor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(path, *tiny)
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_demo_leaves_what_it_promises_and_resumes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = [f"model={folder}", "pages=2", "blind=false", "blind_clips=false", "parallel=false", ONE_CLIP]
    assert demo(words) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "Resolution ablation" in printed and "3x3" in printed and "24 frames, RoPE x2" in printed
    out = tmp_path / "runs" / "demo"
    checked = subprocess.run([sys.executable, ROOT / ".ci" / "check_demo.py", out], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    rows = json.loads((out / "resolution.json").read_text())
    assert [row["setting"] for row in rows if row["task"] == "mean"] == ["1x1", "2x2", "3x3"]
    video = json.loads((out / "video.json").read_text())
    assert [row["tokens"] for row in video if row["task"] == "mean"] == [80, 80, 160, 160, 320, 320, 480, 480]
    # each clip length has its own clips, so only the two RoPE factors of a length are compared
    assert [row["baseline"][:2] for row in video if row["task"] == "mean"] == [
        "4 ",
        "4 ",
        "8 ",
        "8 ",
        "16",
        "16",
        "24",
        "24",
    ]
    assert 'src="data:image' in (out / "report.html").read_text()
    answers = [path.read_bytes() for path in sorted(out.rglob("predictions.jsonl"))]
    assert demo(words) == 0
    assert answers == [path.read_bytes() for path in sorted(out.rglob("predictions.jsonl"))]
    again = json.loads((out / "resolution.json").read_text())
    assert again == rows


def test_ablate_writes_its_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["ablation=wiring", f"model={folder}", "task.count=2", "task.kinds=[position]", "out=sweep"]
    assert ablate(words) == 0, capsys.readouterr().err
    assert "rows and columns swapped" in capsys.readouterr().out
    made = {
        str(path.relative_to("sweep"))
        for path in Path("sweep").rglob("*")
        if path.is_file() and "cells" not in str(path)
    }
    figures = {path for path in made if path.startswith("plots/")}
    assert {"plots/wiring-tasks.png", "plots/wiring-tasks.pdf", "plots/wiring-flips.svg"} <= figures
    assert made - figures == {
        "table.csv", "table.md", "table.json", "table.tex", "record.json", "report.html", "samples.csv",
        "samples.parquet", "pairs.csv", "pareto.json", "strata.csv",
    }  # fmt: skip
    record = json.loads(Path("sweep/record.json").read_text())
    assert "wiring=shuffled_tiles" in record["sweep"]
    assert "torch" in record["versions"]


def test_ablate_runs_on_questions_of_ones_own(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lines = []
    for index, color in enumerate(("red", "blue", "red")):
        Image.new("RGB", (150, 100), color).save(tmp_path / f"{index}.png")
        lines.append(
            json.dumps({"image": f"{index}.png", "question": "what color?", "answers": [color], "id": str(index)})
        )
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    words = ["task=folder", "task.file=mine.jsonl", f"model={folder}", "out=sweep", "blind=once"]
    assert ablate(words) == 0, capsys.readouterr().err
    rows = json.loads((tmp_path / "sweep" / "table.json").read_text())
    assert [(row["task"], row["setting"], row["n"]) for row in rows] == [("all", g, 3) for g in ("1x1", "2x2", "3x3")]
    assert [row["blind"] is None for row in rows] == [False, True, True]
    # two of three answers are "red"
    assert rows[0]["majority"] == pytest.approx(2 / 3)


def test_ablate_prices_a_preset_without_weights(capsys: pytest.CaptureFixture) -> None:
    words = [
        "ablation=token-target",
        "model=llava-next-7b",
        "grid=2x2",
        "plan_only=true",
        "672x672",
        "336x672",
        "--json",
    ]
    assert ablate(words) == 0, capsys.readouterr().err
    prices = json.loads(capsys.readouterr().out)
    # 672 x 672 at 2x2 of 24: 576 + 48 rows of 48 + 1; 336 x 672 (width x height) keeps 24 columns
    assert prices[0]["tokens_max"] == 576 + 48 * 49
    assert prices[0]["tokens_mean"] == 576 + (48 * 49 + 48 * 25) / 2
    assert prices[1]["new_tiles"] == 0 < prices[0]["new_tiles"] == 10


def test_frames_are_an_axis_of_any_video_task(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    task = PocketVideo(folder=tmp_path, frames=4, count=1)
    (clip,) = {sample.media[0].path for sample in task.samples()}
    line = {"video": clip.name, "question": "what is first?", "answers": ["cat"]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    words = ["ablation=frames", "task=folder", "task.file=mine.jsonl", "model=pocket", "plan_only=true", "--json"]
    assert ablate(words) == 0, capsys.readouterr().err
    prices = json.loads(capsys.readouterr().out)
    # 4, 8 and 16 frames of 4 x (4 + 1) tokens, each with both RoPE factors
    assert [price["tokens_max"] for price in prices] == [80, 80, 160, 160, 320, 320]
    assert [price["new_tiles"] > 0 for price in prices] == [True, False] * 3


def test_pricing_needs_no_torch() -> None:
    code = (
        "import sys; from evals.ablation.main import main; "
        "code = main(['model=onevision-7b', 'plan_only=true', '640x480']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3x3" in done.stdout


def test_another_sweep_in_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "sweep" / "cells" / "00-none").mkdir(parents=True)
    words = ["ablation=wiring", "model=pocket", "task.count=2", "task.kinds=[position]", f"out={tmp_path / 'sweep'}"]
    assert ablate(words) == 2
    assert "holds another sweep (cells/00-none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ablation=nothing"], "ablation=nothing: unknown ablation, expected one of"),
        (["model=/no/such/folder"], "no such folder"),
        (["640x480"], "plan_only=true"),
        (["plan_only=true", "model=no-such-preset"], "no-such-preset"),
        (["plan_only=true", "model=llava-next-7b", "nothing.jpg"], "nothing.jpg"),
        (["ablation.axes=[]", "plan_only=true", "model=llava-next-7b"], "at least one axis"),
        (["plan_only=true", "model=llava-next-7b", "."], "is a folder"),
        (["wiring=upside_down"], "wiring: expected"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert ablate(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("anyres-ablate: ") and message in told
    assert len(told.splitlines()) == 1


def test_an_encoder_axis_needs_its_own_weights(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert ablate([f"model={folder}", "encoder=siglip-so400m-384"]) == 2
    assert "brings its own" in capsys.readouterr().err
