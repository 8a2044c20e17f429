"""The Triton kernels without a GPU: their numbers in the interpreter, their machine code ahead of time.

Each runs in a process of its own, because a kernel is either interpreted or compiled for as long as a process lives.
"""

from pathlib import Path

import pytest

pytest.importorskip("triton")
HERE = Path(__file__).parent


def test_numbers_in_the_interpreter(run_apart) -> None:
    run_apart([HERE / "interpreted_pack.py"], {"TRITON_INTERPRET": "1"})


def test_machine_code_for_sm_80_sm_90_sm_100_and_gfx942(run_apart) -> None:
    run_apart([HERE / "compiled_pack.py"], {})
