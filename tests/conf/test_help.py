"""What --help shows of groups, and what an unknown name is told."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException

from conf.help import own_groups
from conf.main import compose, one_line, told
from conf.nearest import expected, near_file

HELP = (
    "usage: x\n\n== Groups: choose with group=option ==\ngrid: 1x1, anyres\nrecipe: pocket\n\n== Values ==\nout: null\n"
)


def test_only_the_groups_of_the_command_are_left() -> None:
    shown = "usage: x\n\n== Groups: choose with group=option ==\ngrid: 1x1, anyres\n\n== Values ==\nout: null\n"
    assert own_groups(HELP, {"grid"}) == shown
    assert own_groups(HELP, set()) == "usage: x\n\n== Values ==\nout: null\n"


def test_what_stands_behind_the_groups_is_kept_and_empty_lines_are_single() -> None:
    text = "usage: x\n\n\n== Groups ==\ngrid: 1x1\nrecipe: pocket\n\n\n--cfg job shows all: every key\n\n\n"
    assert own_groups(text, {"grid"}) == "usage: x\n\n== Groups ==\ngrid: 1x1\n\n--cfg job shows all: every key\n"


def test_long_groups_are_wrapped_between_names() -> None:
    names = [f"name-{index}" for index in range(60)]
    text = own_groups(f"== Groups ==\ngrid: {', '.join(names)}\n\n== Values ==\n", {"grid"})
    lines = text.splitlines()[1:-2]
    assert max(map(len, lines)) <= 110
    assert " ".join(line.strip() for line in lines) == f"grid: {', '.join(names)}"


def test_help_of_a_command_ends_well_and_leaves_other_groups_out() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "models.serve.openai.main", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "\ngrid: " in done.stdout
    assert "\nablation: " not in done.stdout


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("onevison", ("onevision", "none", "1x1"), "did you mean onevision? expected one of onevision, none, 1x1"),
        ("zzz", ("a", "b"), "expected one of a, b"),
        ("pocet", ("pocket", *(str(n) for n in range(12))), "did you mean pocket? --help lists all 13"),
        ("a", (), "there is none"),
    ],
)
def test_the_nearest_names_are_told(word: str, known: tuple[str, ...], said: str) -> None:
    assert expected(word, known) == said


def test_the_nearest_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").touch()
    assert near_file(tmp_path / "minee.jsonl") == ", did you mean mine.jsonl?"
    assert near_file(tmp_path / "clip.mp4") == ""
    assert near_file(tmp_path / "nowhere" / "mine.jsonl") == ""
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "minee.jsonl").read_text()
    assert one_line(missing.value) == f"{tmp_path}/minee.jsonl: No such file or directory, did you mean mine.jsonl?"
    with pytest.raises(FileExistsError) as taken:
        (tmp_path / "mine.jsonl").mkdir()
    assert one_line(taken.value) == f"{tmp_path}/mine.jsonl: is a file, expected a folder"


@pytest.mark.parametrize(
    ("config", "word", "said"),
    [
        ("plan", "grid.target_tk=3", "grid.target_tk: unknown key, did you mean target_tok or target_tiles?"),
        ("eval", "modle=pocket", "modle: unknown key, did you mean model?"),
        ("eval", "compute.encoding.tokns=3", "compute.encoding.tokns: unknown key, did you mean tokens?"),
        ("ask", "zzz=1", "zzz: unknown key;"),
    ],
)
def test_the_nearest_key_is_told(config: str, word: str, said: str) -> None:
    with pytest.raises(HydraException) as unknown:
        compose(config, [word])
    assert one_line(unknown.value).startswith(said)


def test_an_error_is_told_in_one_line_or_raised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    assert told("anyres-x", ValueError("wrong\n  twice")) == 2
    assert capsys.readouterr().err == "anyres-x: wrong; twice\n"
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="wrong"):
        told("anyres-x", ValueError("wrong"))
