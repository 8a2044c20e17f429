"""The example of docs/encoders.md works as it stands there."""

import re
import runpy
from pathlib import Path

import pytest
import torch

from anyres.main import main


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "docs" / "encoders.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def example(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "encoders" / "encoder" / "siglip2-l16-512.yaml"
    file.parent.mkdir(parents=True)
    (yaml_text,) = blocks(root, "yaml")
    file.write_text(yaml_text, encoding="utf-8")
    return file


def test_the_python_example(root: Path, example: Path) -> None:
    (code,) = blocks(root, "python")
    Path("example.py").write_text(code, encoding="utf-8")
    names = runpy.run_path("example.py")
    pixels = torch.empty(2, 3, 512, 512, device="meta")
    assert names["encoder"](pixels).shape == (2, 32 * 32, 1024)


def commands(root: Path) -> list[str]:
    text = (root / "docs" / "encoders.md").read_text(encoding="utf-8")
    return re.findall(r"^    anyres-plan (.*)$", text, re.MULTILINE)


def test_the_command_line_example(root: Path, example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = [command for command in commands(root) if "--config-dir" in command]
    assert main(command.split()) == 0
    printed = capsys.readouterr().out
    assert "512 px tiles of 32 x 32 tokens" in printed and "1000x80" in printed
    assert main(["check", *command.split()[2:]]) == 0


def test_the_other_commands(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # every preset is checked by itself in test_encoders_check.py
    others = [command for command in commands(root) if "--config-dir" not in command and command != "check all"]
    assert len(others) == 5
    for command in others:
        assert main(command.split()) == 0, command
        assert capsys.readouterr().out
