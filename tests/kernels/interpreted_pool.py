"""The Triton pooling kernels' numbers, in Triton's interpreter on a CPU: every output starts as NaN.

test_small_triton.py runs this file with TRITON_INTERPRET=1 in a process of its own: the interpreter has to be chosen
before the kernels are defined.
"""

import pytest
import torch
from torch import Tensor

from kernels.pool.kernel import pool_forward_kernel
from kernels.pool.launch import launch_forward, launch_grad
from kernels.pool.reference import pool_reference

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# bfloat16: the interpreter truncates where a GPU rounds, so one unit in the last place. float16 rounds.
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 1e-5), torch.float16: (2**-10, 2e-6)}
SHAPES = [((2, 4, 4), 2), ((2, 5, 5), 2), ((1, 4, 7), 3), ((1, 3, 2), 1)]


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def forward(frames: Tensor, stride: int, mode: str) -> tuple[Tensor, Tensor]:
    """Return pooled frames and the winners; numbers that nobody writes are NaN and 255."""
    count, height, width, channels = frames.shape
    shape = (count, height // stride, width // stride, channels)
    out = torch.full(shape, float("nan"), dtype=frames.dtype)
    winners = torch.full(shape if mode == "max" else (0,), 255, dtype=torch.uint8)
    launch_forward(frames, stride, mode == "max", out, winners)
    return out, winners


def check(shape: tuple[int, ...], stride: int, mode: str, width: int, dtype: torch.dtype) -> None:
    rtol, atol = TOLERANCES[dtype]
    # few values: blocks hold their largest number more than once
    frames = drawn((*shape, width), 0, dtype).mul(2).round() / 2
    found, winners = forward(frames, stride, mode)
    torch.testing.assert_close(found, pool_reference(frames, stride, mode), rtol=rtol, atol=atol)
    unwatched = torch.full_like(found, float("nan"))
    launch_forward(frames, stride, mode == "max", unwatched, winners[:0])
    assert torch.equal(unwatched, found)

    exact = frames.float().requires_grad_()
    grad = drawn(found.shape, 1, dtype)
    (expected,) = torch.autograd.grad(pool_reference(exact, stride, mode), exact, grad.float())
    found = torch.full(frames.shape, float("nan"), dtype=dtype)
    launch_grad(grad, winners, stride, found)
    torch.testing.assert_close(found.float(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("mode", ["average", "max"])
@pytest.mark.parametrize(("shape", "stride"), SHAPES, ids=str)
def test_forward_and_gradient(shape: tuple[int, ...], stride: int, mode: str) -> None:
    check(shape, stride, mode, 33, torch.float32)


@pytest.mark.parametrize("mode", ["average", "max"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 64, 520])
def test_by_dtype_and_width(width: int, dtype: torch.dtype, mode: str) -> None:
    check((1, 5, 4), 2, mode, width, dtype)


def test_several_programs_a_row() -> None:
    """More tokens in a row than the 32 that a program takes."""
    check((1, 2, 81), 2, "max", 4, torch.float32)


def test_a_nan_is_the_largest_of_its_block() -> None:
    for places, winner in (([0], 0), ([2], 2), ([1, 3], 3), ([], 1)):
        frames = torch.tensor([0.0, 7, 1, 7]).view(1, 4, 1)
        frames[:, places] = float("nan")
        out, winners = forward(frames.view(1, 2, 2, 1), 2, "max")
        # the place that torch's max_pool2d gives the gradient to
        assert winners.item() == winner and out.isnan().item() == bool(places)


def test_a_nan_behind_the_last_block_goes_nowhere() -> None:
    frames = drawn((1, 5, 5, 2), 0, torch.float32)
    frames[:, 4] = frames[:, :, 4] = float("nan")
    for mode in ("average", "max"):
        assert forward(frames, 2, mode)[0].isfinite().all()


def test_offsets_beyond_32_bits() -> None:
    """A block that spans 2**31 numbers: its second row begins behind them; memory nobody touches is never given."""
    width = 4096
    tokens = 2**31 // width + 1
    frames = torch.empty(1, 2, tokens, width, dtype=torch.float16)
    frames[:, :, :2] = drawn((1, 2, 2, width), 0, torch.float16)
    out = torch.full((1, 1, tokens // 2, width), float("nan"), dtype=torch.float16)
    first = _first_program(frames, out)
    torch.testing.assert_close(first, frames[0, :, :2].float().mean((0, 1)).half(), rtol=2**-10, atol=1e-5)


def _first_program(frames: Tensor, out: Tensor) -> Tensor:
    """Return the first pooled token: one program of the many that the frames need."""
    _, height, width, channels = frames.shape
    pool_forward_kernel[(1, 1)](
        frames,
        out,
        torch.empty(0, dtype=torch.uint8),
        height,
        width,
        *out.shape[1:3],
        D=channels,
        STRIDE=2,
        TOKENS=1,
        BLOCK=4096,
        LARGEST=False,
        WINNERS=False,
    )
    return out[0, 0, 0]
