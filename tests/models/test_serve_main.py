"""anyres-serve as a command: what it refuses to start with, and one start and stop of the real thing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from models.serve.openai.main import main

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["page.png"], "page.png: expected key=value"),
        (["port=70000"], "port: expected 0 to 65535, got 70000"),
        (["limits.at_once=0"], "limits.at_once: expected more than 0"),
        (["max_new_tokens=5000"], "max_new_tokens: expected 1 to 4096"),
        (["system=ignore"], "system: expected 'refuse' or 'prefix'"),
        (["port=0", "key_env=ANYRES_NO_SUCH_KEY"], "key_env=ANYRES_NO_SUCH_KEY: that environment variable is not set"),
        (["port=0", "files=no/such/folder"], "files=no/such/folder: no such folder"),
        (["port=0", "model=no/such/folder"], "no/such/folder"),
        (["port=0", "host=192.0.2.1"], "host=192.0.2.1 port=0: cannot listen there"),
        (["nonsense=1"], "nonsense: unknown key"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_it_starts_on_loopback_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "models.serve.openai.main", "port=0", "name=mine"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("anyres-serve: mine at http://127.0.0.1:")
        url = line.split()[-1]
        assert httpx.get(f"{url}/models").json()["data"][0]["id"] == "mine"
        assert len(list(tmp_path.glob("anyres-serve-*"))) == 1
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert list(tmp_path.glob("anyres-serve-*")) == []
