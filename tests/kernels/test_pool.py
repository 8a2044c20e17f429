"""Frame pooling on a CPU: its reference, torch's own pooling, transformers' code, gradients and operator contracts."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlavaOnevisionModel
from transformers.models.llava_next_video.modeling_llava_next_video import LlavaNextVideoPooler

from anyres.geometry import HW
from anyres.grid import TileSpec
from anyres.lower import lower
from kernels.pack.op import pack
from kernels.pool.cpu import largest_and_winners
from kernels.pool.op import MODES, pool, pool_op
from kernels.pool.reference import pool_reference
from video import VideoSpec, plan_clip

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 6e-5), torch.float16: (2**-10, 2e-6)}
SHAPES = [((2, 6, 6), 2), ((3, 5, 5), 2), ((1, 4, 7), 3), ((2, 3, 3), 1), ((0, 4, 4), 2), ((1, 5, 9), 4)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "stride"), SHAPES, ids=str)
def test_forward_and_gradient(shape: tuple[int, ...], stride: int, mode: str, dtype: torch.dtype) -> None:
    if shape[0] == 0:
        pooled = pool(drawn(*shape, 7).to(dtype), stride, mode)
        assert pooled.shape == (0, 2, 2, 7)
        return
    rtol, atol = TOLERANCES[dtype]
    frames = drawn(*shape, 7).to(dtype).requires_grad_()
    exact = frames.detach().float().requires_grad_()
    found, expected = pool(frames, stride, mode), pool_reference(exact, stride, mode)
    torch.testing.assert_close(found.float(), expected, rtol=rtol, atol=atol)
    grad = drawn(*found.shape, seed=1).to(dtype)
    (found,) = torch.autograd.grad(found, frames, grad)
    (expected,) = torch.autograd.grad(expected, exact, grad.float())
    torch.testing.assert_close(found.float(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("mode", MODES)
def test_finite_differences(mode: str) -> None:
    frames = drawn(2, 4, 5, 2).double().requires_grad_()
    torch.autograd.gradcheck(lambda x: pool(x, 2, mode), frames)


@pytest.mark.parametrize(("mode", "side", "tokens"), [("average", 24, 144), ("max", 27, 169), ("bilinear", 27, 196)])
def test_equal_to_transformers(mode: str, side: int, tokens: int) -> None:
    frames = drawn(2, side * side, 3)
    vision = SimpleNamespace(image_size=side, patch_size=1, hidden_size=3)
    config = SimpleNamespace(vision_config=vision, spatial_pool_mode=mode, spatial_pool_stride=2)
    if mode == "bilinear":
        theirs = LlavaOnevisionModel.apply_pooling(SimpleNamespace(config=config), frames)
    else:
        theirs = LlavaNextVideoPooler(config)(frames)
    mine = pool(frames.unflatten(1, (side, side)), 2, mode).flatten(1, 2)
    assert mine.shape == (2, tokens, 3)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_plan_of_a_clip_pools_alike(mode: str) -> None:
    """video's plans say the same sizes, and packing them the same tokens."""
    tile = TileSpec(px=70, tok=5)
    clip = VideoSpec(num_frames=3, pool=2, pool_mode=mode, end="no_token")
    table = lower([plan_clip(HW(90, 120), 3, clip, tile)])
    frames = drawn(3, 25, 4)
    packed = pack(frames, torch.zeros(1, 4), table)
    torch.testing.assert_close(pool(frames.unflatten(1, (5, 5)), 2, mode).reshape(-1, 4), packed, rtol=0, atol=1e-6)


def test_the_largest_of_more_rows_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernels.pool.cpu.PIECE_BYTES", 2 * 2 * 7 * 4 * 3)
    frames = drawn(2, 11, 7, 3)
    assert torch.equal(pool(frames, 2, "max"), pool_reference(frames, 2, "max"))


@pytest.mark.parametrize("wants_gradient", [False, True])
def test_a_nan_is_the_largest_of_its_block(wants_gradient: bool) -> None:
    frames = drawn(1, 4, 4, 2)
    frames[0, 1, 1, 0] = frames[0, 2, 3, 1] = float("nan")
    expected = pool_reference(frames, 2, "max")
    assert expected.isnan().sum() == 2
    found = pool(frames.requires_grad_(wants_gradient), 2, "max")
    assert torch.equal(found.nan_to_num(9), expected.nan_to_num(9))


def test_the_first_of_equal_numbers_gets_the_gradient() -> None:
    frames = torch.randint(0, 2, (2, 6, 6, 5), generator=torch.Generator().manual_seed(0)).float().requires_grad_()
    grad = drawn(2, 3, 3, 5)
    (found,) = torch.autograd.grad(pool(frames, 2, "max"), frames, grad)
    (expected,) = torch.autograd.grad(pool_reference(frames, 2, "max"), frames, grad)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
@pytest.mark.parametrize("odd", [(), (-0.0,), (float("nan"),), (-0.0, float("nan"))], ids=str)
def test_winners_are_those_of_torch(odd: tuple[float, ...], dtype: torch.dtype) -> None:
    """Equal numbers, both zeros, infinities and NaN in one block: the place that torch's max_pool2d gives."""
    drawn_from = torch.tensor([0.0, 1.0, -1.0, float("inf"), -float("inf"), *odd], dtype=dtype)
    picked = torch.randint(0, len(drawn_from), (3, 7, 9, 5), generator=torch.Generator().manual_seed(0))
    frames = drawn_from[picked]
    for stride in (2, 3):
        _, flat = F.max_pool2d(frames.permute(0, 3, 1, 2), stride, return_indices=True)
        y, x = flat // 9 % stride, flat % 9 % stride
        best, winners = largest_and_winners(frames, stride)
        assert torch.equal(winners.permute(0, 3, 1, 2), (y * stride + x).to(torch.uint8))
        assert torch.equal(best.nan_to_num(9), pool_reference(frames, stride, "max").nan_to_num(9))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_winners_of_more_rows_than_a_piece(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr("kernels.pool.cpu.WON_BYTES", rows * 2 * 7 * 4 * 3)
    frames = drawn(2, 11, 7, 3)
    # a NaN and a negative zero in pieces of their own
    frames[0, 4, 2, 0], frames[1, 8, 5, 2] = float("nan"), -0.0
    _, flat = F.max_pool2d(frames.permute(0, 3, 1, 2), 2, return_indices=True)
    winners = largest_and_winners(frames, 2)[1].permute(0, 3, 1, 2)
    assert torch.equal(winners, (flat // 7 % 2 * 2 + flat % 7 % 2).to(torch.uint8))


def test_a_nan_behind_the_last_block_goes_nowhere() -> None:
    frames = drawn(1, 5, 5, 2)
    frames[:, 4] = frames[:, :, 4] = float("nan")
    assert pool(frames, 2, "average").isfinite().all() and pool(frames, 2, "max").isfinite().all()


@pytest.mark.parametrize(("largest", "winners"), [(False, False), (True, False), (True, True)])
def test_operator_contracts(largest: bool, winners: bool) -> None:
    frames = drawn(2, 4, 5, 3).requires_grad_(winners or not largest)
    torch.library.opcheck(pool_op, (frames, 2, largest, winners))


@pytest.mark.parametrize("mode", MODES)
def test_compiles_to_one_graph(mode: str) -> None:
    frames = drawn(2, 4, 4, 3).requires_grad_()
    compiled = torch.compile(lambda x: pool(x * 2, 2, mode).square(), fullgraph=True, backend="aot_eager")
    expected = pool(frames * 2, 2, mode).square()
    found = compiled(frames)
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(y.sum(), frames)[0] for y in (found, expected)))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="stride 3 leaves no token of a 2 x 9 frame"):
        pool(drawn(1, 2, 9, 3), 3, "average")
    with pytest.raises(ValueError, match="stride 0 leaves no token"):
        pool(drawn(1, 2, 9, 3), 0, "bilinear")
    with pytest.raises(ValueError, match="'mean'"):
        pool(drawn(1, 2, 2, 3), 2, "mean")
    with pytest.raises(ValueError, match=r"expected frames \[F, H, W, D\], found \(2, 2, 3\)"):
        pool(drawn(2, 2, 3), 2, "average")
    with pytest.raises(ValueError, match="at most 16 x 16, found 17"):
        pool(drawn(1, 17, 17, 3), 17, "max")


def test_a_cpu_needs_no_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from kernels.pool.op import pool; from kernels.rope.op import rope, rope_\n"
        "pool(torch.ones(1, 4, 4, 2, requires_grad=True), 2, 'bilinear').sum().backward()\n"
        "rope_(*rope(*[torch.ones(1, 1, 1, 4)] * 2, *[torch.ones(1, 1, 2)] * 2), *[torch.ones(1, 1, 2)] * 2)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
