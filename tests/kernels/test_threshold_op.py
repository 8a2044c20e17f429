"""Bilinear thresholding on a CPU: its reference, packing, gradients and operator contracts."""

import pytest
import torch
from torch import Tensor

from kernels.pack.op import pack
from kernels.pack.table import PackTable
from kernels.threshold.op import threshold, threshold_op
from kernels.threshold.reference import threshold_reference

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 6e-5), torch.float16: (2**-10, 2e-6)}
# maps, rows, cols, tile h, tile w; crop y x h w; out h w
CASES = {
    "smaller": ((1, 2, 2, 3, 3), (0, 1, 6, 4), (4, 3)),
    "odd frames": ((3, 1, 1, 5, 5), (0, 0, 5, 5), (3, 3)),
    "much smaller": ((1, 2, 3, 3, 3), (1, 1, 5, 7), (1, 2)),
    "larger": ((1, 1, 1, 2, 3), (0, 0, 2, 3), (5, 7)),
    "the same": ((2, 2, 1, 2, 3), (1, 0, 3, 3), (3, 3)),
    "one token": ((1, 2, 2, 1, 1), (1, 1, 1, 1), (1, 1)),
    "no map": ((0, 2, 2, 3, 3), (0, 0, 6, 6), (2, 2)),
    "rows that are not squares": ((1, 3, 2, 2, 5), (1, 3, 4, 6), (3, 5)),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradient(case: str, dtype: torch.dtype) -> None:
    shape, crop, out = CASES[case]
    rtol, atol = TOLERANCES[dtype]
    tiles = drawn(*shape, 7).to(dtype).requires_grad_()
    found = threshold(tiles, crop, out)
    assert found.shape == (shape[0], *out, 7) and found.dtype == dtype
    if shape[0] == 0:
        return
    exact = tiles.detach().float().requires_grad_()
    expected = threshold_reference(exact, crop, out)
    torch.testing.assert_close(found.float(), expected, rtol=rtol, atol=atol)
    grad = drawn(*found.shape, seed=1).to(dtype)
    (found,) = torch.autograd.grad(found, tiles, grad)
    (expected,) = torch.autograd.grad(expected, exact, grad.float())
    torch.testing.assert_close(found.float(), expected, rtol=rtol, atol=4 * atol)


@pytest.mark.parametrize("case", ["smaller", "larger", "much smaller"])
def test_finite_differences(case: str) -> None:
    shape, crop, out = CASES[case]
    tiles = drawn(*shape, 2).double().requires_grad_()
    torch.autograd.gradcheck(lambda x: threshold(x, crop, out), tiles)


def test_packing_gives_the_same_tokens() -> None:
    """One image of 2 x 3 tiles of 9 x 9 tokens, cropped and kept to 11 x 17: what a plan packs without row ends."""
    crop, out = (1, 2, 16, 24), (11, 17)
    table = PackTable.of([[0, 3, 9, *crop, *out, 0, 0, 0, 0, 0]], [11 * 17], num_source=6 * 81)
    tiles = drawn(6, 81, 5)
    packed = pack(tiles, torch.zeros(1, 5), table)
    assert torch.equal(threshold(tiles.view(1, 2, 3, 9, 9, 5), crop, out).view(-1, 5), packed)


def test_an_order_of_tiles_that_is_wrong_shows() -> None:
    tiles = torch.arange(8.0).view(1, 1, 2, 2, 2, 1)
    # tile 0 holds 0 to 3, tile 1 holds 4 to 7
    assert threshold(tiles, (0, 0, 2, 4), (2, 4)).flatten().tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    assert threshold(tiles, (0, 0, 2, 4), (1, 2)).flatten().tolist() == [1.5, 5.5]


def test_operator_contracts() -> None:
    shape, crop, out = CASES["smaller"]
    torch.library.opcheck(threshold_op, (drawn(*shape, 3).requires_grad_(), crop, out))


def test_compiles_to_one_graph() -> None:
    shape, crop, out = CASES["odd frames"]
    tiles = drawn(*shape, 3).requires_grad_()
    compiled = torch.compile(lambda x: threshold(x * 2, crop, out).square(), fullgraph=True, backend="aot_eager")
    expected = threshold(tiles * 2, crop, out).square()
    found = compiled(tiles)
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(y.sum(), tiles)[0] for y in (found, expected)))


@pytest.mark.parametrize(
    ("crop", "out"), [((0, 1, 6, 6), (2, 2)), ((-1, 0, 3, 3), (1, 1)), ((0, 0, 0, 3), (1, 1)), ((0, 0, 3, 3), (0, 1))]
)
def test_a_crop_that_leaves_its_map_is_refused(crop: tuple[int, ...], out: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="of a map of 6 x 6 tokens"):
        threshold(drawn(1, 2, 2, 3, 3, 1), crop, out)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected tiles \[M, R, C, Y, X, D\], found \(2, 3, 3, 1\)"):
        threshold(drawn(2, 3, 3, 1), (0, 0, 3, 3), (2, 2))
