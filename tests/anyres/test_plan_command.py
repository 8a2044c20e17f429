"""anyres-plan as its user meets it: what it prints, what it draws, and how it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anyres.main import main


def planned(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("anyres-plan: ")
    return line.removeprefix("anyres-plan: ")


def test_onevision_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = planned(capsys, "640x480", "1000x80", "grid=onevision", "encoder=siglip-so400m-384")
    keys = ["width", "height", "grid_rows", "grid_cols", "tiles", "kept_rows", "kept_cols", "out_rows", "out_cols"]
    keys += ["tokens", "resized_width", "resized_height", "pad_left", "pad_top"]
    assert [[row[key] for key in keys] for row in rows] == [
        [640, 480, 2, 2, 5, 40, 54, 40, 54, 2929, 768, 576, 0, 96],
        [1000, 80, 1, 3, 4, 7, 81, 7, 81, 1303, 1152, 93, 0, 145],
    ]


def test_goldens_through_the_command(capsys: pytest.CaptureFixture[str], shared: Path) -> None:
    goldens = json.loads((shared / "goldens" / "image_plans.json").read_text())
    encoders = {224: "clip-l14-224", 336: "clip-l14-336", 384: "siglip-so400m-384"}
    for name in ("llava-next", "onevision", "llava-1.5-hd"):
        encoder = encoders[goldens["lists"][name]["tile_px"]]
        sizes = [f"{entry['width']}x{entry['height']}" for entry in goldens["sizes"]]
        for row, entry in zip(
            planned(capsys, *sizes, f"grid={name}", f"encoder={encoder}"), goldens["sizes"], strict=True
        ):
            golden = {key: value for key, value in entry["plans"][name].items() if key != "transformers_tokens"}
            assert {key: row[key] for key in golden} == golden, row["name"]
            assert (row["width"], row["height"]) == (entry["width"], entry["height"])
            assert row["tiles"] == 1 + golden["grid_rows"] * golden["grid_cols"]


def test_files_are_planned_upright(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (64, 48)).save(tmp_path / "plain.png")
    turned, plain = planned(capsys, str(tmp_path / "turned.jpg"), str(tmp_path / "plain.png"))
    assert (turned["width"], turned["height"]) == (48, 64)
    assert (plain["width"], plain["height"]) == (64, 48)


def test_a_clip_in_json_and_in_the_table(capsys: pytest.CaptureFixture[str], shared: Path) -> None:
    clip = str(shared / "media" / "flipping_a_pancake.mkv")
    (row,) = planned(capsys, clip, "model=llava-next-7b")
    assert (row["kind"], row["width"], row["height"]) == ("video", 426, 240)
    assert (row["frames"], row["tiles"], row["tokens_per_frame"], row["tokens"]) == (16, 16, 144, 2304)
    assert row["frame_indices"][0] == 0
    assert row["frame_indices"][-1] == row["num_frames"] - 1
    # 32 frames of 210 tokens and 512 of text: 7232 of 4096 positions
    (row,) = planned(capsys, clip, "encoder=siglip-so400m-384", "video=uniform-32")
    assert (row["tokens_per_frame"], row["tokens"], row["rope_factor"]) == (210, 6720, 2.0)
    (row,) = planned(capsys, clip, "model=onevision-7b")
    assert (row["tokens_per_frame"], row["row_ends"], row["tokens"]) == (196, 1, 6273)
    # every tenth of 64 frames slow: 7 of 13 x 13 tokens and 57 of 6 x 6, rows closed, and each frame once more
    (row,) = planned(capsys, clip, "encoder=siglip-so400m-384", "video=llava-video-slowfast-64")
    assert (row["tokens_per_frame"], row["tokens_per_fast_frame"], row["tokens"]) == (183, 43, 3732)


def test_table_with_several_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["640x480", "1700x2200", "model=llava-next-7b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("model=llava-next-7b encoder=clip-l14-336 grid=llava-next")
    assert lines[1] == "336 px tiles of 24 x 24 tokens; context of 4,096, 512 of it for text"
    assert lines[4].split()[:11] == ["640x480", "640x480", "2", "x", "2", "5", "2,880", "2,304", "2,304", "36", "2,340"]
    assert lines[7] == "all 2 in one prompt: 4,788 tokens, 116.9% of the context, RoPE x2"
    assert lines[9].endswith("; 7,062,902,784 together")


def test_switches_and_sweeps(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (row,) = planned(capsys, "1700x2200", "grid.target_tok=1152")
    assert (row["out_rows"], row["out_cols"], row["tokens"]) == (38, 30, 1754)
    assert main(["640x480", "-m", "grid=none,2x2"]) == 0
    assert [line.split()[-5] for line in capsys.readouterr().out.splitlines() if line.startswith("640x480")] == [
        "577",
        "2,340",
    ]
    assert list(tmp_path.iterdir()) == []


def test_drawing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), "green").save(tmp_path / "page.png")
    assert main([str(tmp_path / "page.png"), "30x400", f"draw={tmp_path / 'plan.png'}"]) == 0
    with Image.open(tmp_path / "plan.png") as picture:
        assert picture.width == 1280
    assert "2,340" in capsys.readouterr().out


def test_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    assert refused(capsys, "no.jpg") == "no.jpg: no such file, and not a size like 640x480 (WIDTHxHEIGHT)"
    missing = refused(capsys, str(tmp_path / "note.txt"))
    assert missing.endswith("not a size like 640x480 (WIDTHxHEIGHT), did you mean notes.txt?")
    assert refused(capsys, str(tmp_path)).endswith(
        "is a folder; give files, sizes like 640x480, or FOLDER@GRID for its pictures"
    )
    assert refused(capsys, str(tmp_path / "notes.txt")).endswith("neither an image nor a video of a known format")
    assert refused(capsys, "0x9") == "0x9: expected at least 1x1 pixels"
    assert refused(capsys).startswith("nothing to plan")
    unknown = refused(capsys, "9x9", "grid=onevison")
    assert unknown.startswith("grid=onevison: unknown grid, did you mean onevision? --help lists all ")
    assert "onevision" in unknown
    assert refused(capsys, "9x9", "grid.layouts=[[a,1]]") == "grid.layouts[0][0]: expected int, got 'a'"
    assert refused(capsys, "9x9", "grid.zzz=3") == "grid.zzz: unknown key; --cfg job shows all keys"
    assert refused(capsys, "9x9", "grid.target_tk=3").startswith("grid.target_tk: unknown key, did you mean")
    assert refused(capsys, "9x9", "grdi=2x2").startswith("grdi: unknown key, did you mean grid?")
    assert refused(capsys, "9x9", "grid.slack=0.9") == "grid.slack: expected at least 1.0, got 0.9"
    assert refused(capsys, "9x9", "grid.slack=[").startswith("grid.slack=[: not a valid override")
    assert refused(capsys, "9x9", "--jsn") == "--jsn: unknown option; this command has --json and --help"


def command(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anyres.main", *argv],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=False,
    )


def test_ten_files_without_torch_and_without_litter(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(10)]
    for name in names:
        Image.new("RGB", (640, 480)).save(tmp_path / name)
    done = command(*names, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["tokens"] for row in json.loads(done.stdout)] == [2340] * 10
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    check = "import sys, anyres.main; assert not {'torch', 'transformers', 'av', 'decord'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(__file__).resolve().parents[2])


def test_help_and_config_of_hydra(tmp_path: Path) -> None:
    done = command("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "anyres-plan 640x480 page.jpg clip.mp4 model=llava-next-7b" in done.stdout
    assert "grid4x4-max4-336" in done.stdout
    done = command("--cfg", "job", "grid=onevision", cwd=tmp_path)
    assert done.returncode == 0
    assert "target_tiles: 9" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_drawing_never_overwrites_an_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    Image.new("RGB", (60, 40)).save(page)
    before = page.read_bytes()
    for name in (page, tmp_path / "." / "page.png"):
        assert main([str(page), f"draw={name}"]) == 2
        assert "would overwrite the input" in capsys.readouterr().err
    assert page.read_bytes() == before


@pytest.mark.parametrize("name, words", [("", "expected a file name"), ("a.xyz", ".png"), ("no/a.png", "no folder")])
def test_drawing_to_no_picture_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, words: str
) -> None:
    target = f"{tmp_path}/{name}" if name else ""
    assert main(["640x480", f"draw={target}"]) == 2
    error = capsys.readouterr().err
    assert "draw=" in error and words in error


def test_model_folder_without_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["640x480", f"model={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"anyres-plan: model={tmp_path}: expected a preset, or a checkpoint folder with config.json or anyres.json\n"
    )
