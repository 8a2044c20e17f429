"""The Triton kernels of thresholding, pooling and rotating without a GPU: their numbers and their machine code.

They run in processes of their own, because a kernel is either interpreted or compiled for as long as a process
lives.
"""

from pathlib import Path

import pytest

pytest.importorskip("triton")
HERE = Path(__file__).parent


def test_numbers_in_the_interpreter(run_apart) -> None:
    run_apart(
        [HERE / f"interpreted_{kernel}.py" for kernel in ("threshold", "pool", "rope")], {"TRITON_INTERPRET": "1"}
    )


def test_machine_code(run_apart) -> None:
    run_apart([HERE / "compiled_small.py"], {})
