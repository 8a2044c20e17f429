"""Fixtures for all tests: few threads, no network, and the shared material where a checkout has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of goldens, real annotation files and media beside the checkout; not part of a user's clone."""
    folder = ROOT.parent / "shared"
    if not (folder / "goldens").is_dir():
        pytest.skip("needs the folder ../shared (goldens, data, media), which a plain clone does not have")
    return folder


@pytest.fixture(scope="session")
def hostile(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of hostile media with its manifest.json, written once; its folder special/ holds named pipes."""
    script = shared / "hostile" / "make_corpus.py"
    if not script.is_file():
        pytest.skip("needs the folder ../shared/hostile, which a plain clone does not have")
    folder = tmp_path_factory.mktemp("hostile")
    subprocess.run([sys.executable, script, "--out", folder, "--seed", "7"], check=True, capture_output=True)
    return folder
