"""Fixtures for all tests: few threads, no network, and the shared material where a checkout has it."""

import os
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
