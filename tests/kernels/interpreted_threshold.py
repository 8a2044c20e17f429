"""The Triton thresholding kernels' numbers, in Triton's interpreter on a CPU: every output starts as NaN.

test_small_triton.py runs this file with TRITON_INTERPRET=1 in a process of its own: the interpreter has to be chosen
before the kernels are defined.
"""

import pytest
import torch
from torch import Tensor

from kernels.threshold.launch import launch_forward, launch_grad
from kernels.threshold.reference import threshold_reference

pytestmark = pytest.mark.usefixtures("tall_programs")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# float32: sums of a few products, and a source place that a GPU rounds once where the interpreter rounds twice.
# bfloat16: the interpreter truncates where a GPU rounds, so one unit in the last place. float16 rounds.
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 1e-5), torch.float16: (2**-10, 2e-5)}
# maps, rows, cols, tile h, tile w; crop y x h w; out h w
CASES = {
    "smaller": ((1, 2, 2, 3, 3), (0, 1, 6, 4), (4, 3)),
    "halved frames": ((3, 1, 1, 4, 4), (0, 0, 4, 4), (2, 2)),
    "odd frames": ((2, 1, 1, 5, 5), (0, 0, 5, 5), (3, 3)),
    "much smaller": ((1, 2, 3, 3, 3), (1, 1, 5, 7), (1, 2)),
    "larger": ((1, 1, 1, 2, 3), (0, 0, 2, 3), (5, 7)),
    "larger and smaller": ((1, 1, 2, 4, 3), (0, 2, 4, 2), (2, 9)),
    "the same": ((2, 2, 1, 2, 3), (1, 0, 3, 3), (3, 3)),
    "one token": ((1, 2, 2, 1, 1), (1, 1, 1, 1), (1, 1)),
    "rows that are not squares": ((1, 3, 2, 2, 5), (1, 3, 4, 6), (3, 5)),
}


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def check(case: str, width: int, dtype: torch.dtype) -> None:
    shape, crop, out = CASES[case]
    rtol, atol = TOLERANCES[dtype]
    tiles = drawn((*shape, width), 0, dtype)
    found = torch.full((shape[0], *out, width), float("nan"), dtype=dtype)
    launch_forward(tiles, crop, found)
    torch.testing.assert_close(found, threshold_reference(tiles, crop, out), rtol=rtol, atol=atol)

    exact = tiles.float().requires_grad_()
    grad = drawn(found.shape, 1, dtype)
    (expected,) = torch.autograd.grad(threshold_reference(exact, crop, out), exact, grad.float())
    found = torch.full(tiles.shape, float("nan"), dtype=dtype)
    launch_grad(grad, crop, found)
    # a token may feed many results
    torch.testing.assert_close(found.float(), expected, rtol=rtol, atol=4 * atol)


@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradient(case: str) -> None:
    check(case, 33, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 64, 520])
def test_by_dtype_and_width(width: int, dtype: torch.dtype) -> None:
    check("smaller", width, dtype)


@pytest.mark.usefixtures("as_launched")
@pytest.mark.parametrize(("width", "dtype"), [(33, torch.float32), (64, torch.bfloat16)], ids=str)
def test_programs_as_launched(width: int, dtype: torch.dtype) -> None:
    check("larger and smaller", width, dtype)


@pytest.mark.usefixtures("as_launched")
def test_several_programs_a_row() -> None:
    """More tokens in a row than the 32 that a program takes."""
    shape, crop, out = (1, 1, 2, 2, 35), (0, 3, 2, 64), (1, 40)
    tiles = drawn((*shape, 4), 0, torch.float32)
    found = torch.full((1, *out, 4), float("nan"))
    launch_forward(tiles, crop, found)
    # the interpreter rounds a source place near 64 twice, a GPU once
    torch.testing.assert_close(found, threshold_reference(tiles, crop, out), rtol=0, atol=2e-5)


def test_a_nan_outside_the_crop_goes_nowhere() -> None:
    shape, crop, out = CASES["smaller"]
    tiles = drawn((*shape, 3), 0, torch.float32)
    tiles[0, :, 0, :, 0] = float("nan")
    found = torch.full((1, *out, 3), float("nan"))
    launch_forward(tiles, crop, found)
    torch.testing.assert_close(found, threshold_reference(tiles, crop, out), rtol=0, atol=2e-6)
    assert found.isfinite().all()


def test_the_same_size_is_a_copy() -> None:
    shape, crop, out = CASES["the same"]
    tiles = drawn((*shape, 3), 0, torch.bfloat16)
    found = torch.full((2, *out, 3), float("nan"), dtype=torch.bfloat16)
    launch_forward(tiles, crop, found)
    assert torch.equal(found, threshold_reference(tiles, crop, out))


def test_offsets_beyond_32_bits() -> None:
    """Tokens whose first number lies beyond 2**31 numbers; memory that nobody touches is never given."""
    width = 4096
    height = 2**31 // width + 2
    tiles = torch.empty(1, 1, 1, height, 1, width, dtype=torch.float16)
    tiles[:, :, :, -2:] = drawn((1, 1, 1, 2, 1, width), 0, torch.float16)
    found = torch.full((1, 1, 1, width), float("nan"), dtype=torch.float16)
    launch_forward(tiles, (height - 2, 0, 2, 1), found)
    torch.testing.assert_close(found[0, 0, 0], tiles[0, 0, 0, -2:, 0].float().mean(0).half(), rtol=2**-10, atol=1e-5)
