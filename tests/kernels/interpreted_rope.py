"""The Triton rotary kernel's numbers, in Triton's interpreter on a CPU: every output starts as NaN.

test_small_triton.py runs this file with TRITON_INTERPRET=1 in a process of its own: the interpreter has to be chosen
before the kernels are defined.
"""

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from kernels.rope.launch import launch
from kernels.rope.reference import rope_reference
from kernels.rope.tables import RopeSpec, frequencies, rope_tables
from models.llms.fused_rope import fuse_rope

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# bfloat16: the interpreter truncates where a GPU rounds, so one unit in the last place. float16 rounds.
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 1e-5), torch.float16: (2**-10, 1e-5)}
# heads of queries and keys, head width, rotated channels
CASES = [(4, 4, 8, 8), (4, 2, 16, 16), (7, 1, 10, 10), (3, 2, 12, 4), (2, 2, 96, 96), (5, 3, 80, 32), (1, 1, 2, 2)]


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tables(rows: int, length: int, rotated: int, factor: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return tables of linearly scaled positions, another first position in each row."""
    positions = torch.arange(length) + 1000 * torch.arange(rows)[:, None]
    return rope_tables(positions, frequencies(RopeSpec(kind="linear", theta=1e4, width=rotated, factor=factor)))


def poisoned(x: Tensor) -> Tensor:
    return torch.full_like(x, float("nan"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rotation_and_gradient(case: tuple[int, ...], dtype: torch.dtype) -> None:
    q_heads, k_heads, width, rotated = case
    rtol, atol = TOLERANCES[dtype]
    cos, sin = tables(2, 3, rotated)
    # queries with positions before heads, as projections leave them; keys with heads before positions
    q, k = drawn((2, 3, q_heads, width), 0, dtype).transpose(1, 2), drawn((2, k_heads, 3, width), 1, dtype)
    q_out, k_out = poisoned(q), poisoned(k)
    launch(q, k, cos, sin, q_out, k_out)
    for mine, x in ((q_out, q), (k_out, k)):
        torch.testing.assert_close(mine, rope_reference(x, cos, sin), rtol=rtol, atol=atol)

    exact = q.float().requires_grad_()
    (expected,) = torch.autograd.grad(rope_reference(exact, cos, sin), exact, q.float())
    q_out, k_out = poisoned(q), poisoned(k)
    launch(q, k, cos, sin, q_out, k_out, inverse=True)
    torch.testing.assert_close(q_out.float(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_place(case: tuple[int, ...]) -> None:
    q_heads, k_heads, width, rotated = case
    cos, sin = tables(1, 3, rotated)
    cos, sin = cos.expand(2, -1, -1), sin.expand(2, -1, -1)
    # the numbers between the heads' rows are somebody else's
    q = drawn((2, 3, q_heads, width + 5), 0, torch.float32)
    k = drawn((2, 3, k_heads, width), 1, torch.float32).transpose(1, 2)
    before, q_view = q.clone(), q[..., :width].transpose(1, 2)
    expected = [rope_reference(x, cos, sin) for x in (q_view, k)]
    launch(q_view, k, cos, sin, q_view, k)
    for mine, right in zip((q_view, k), expected, strict=True):
        torch.testing.assert_close(mine, right, rtol=0, atol=2e-6)
    assert torch.equal(q[..., width:], before[..., width:])
    assert torch.equal(q_view[..., rotated:], before[..., rotated:width].transpose(1, 2))


def test_more_heads_than_a_program_takes() -> None:
    """40 query and 8 key heads of 128 channels: two blocks and one, of 32 heads."""
    cos, sin = tables(1, 2, 128)
    q, k = drawn((1, 40, 2, 128), 0, torch.bfloat16), drawn((1, 8, 2, 128), 1, torch.bfloat16)
    q_out, k_out = poisoned(q), poisoned(k)
    launch(q, k, cos, sin, q_out, k_out)
    torch.testing.assert_close(q_out, rope_reference(q, cos, sin), rtol=2**-7, atol=1e-5)
    torch.testing.assert_close(k_out, rope_reference(k, cos, sin), rtol=2**-7, atol=1e-5)


def test_half_precision_tables() -> None:
    cos, sin = (table.bfloat16() for table in tables(1, 3, 8))
    q, k = drawn((1, 2, 3, 8), 0, torch.float32), drawn((1, 2, 3, 8), 1, torch.float32)
    q_out, k_out = poisoned(q), poisoned(k)
    launch(q, k, cos, sin, q_out, k_out)
    torch.testing.assert_close(q_out, rope_reference(q, cos, sin), rtol=0, atol=2e-6)


def test_offsets_beyond_32_bits() -> None:
    """A second row, and a second head, that lie beyond 2**31 numbers; memory nobody touches is never given."""
    cos, sin = tables(2, 1, 4)
    wide = torch.empty(2**32 + 64, dtype=torch.float16)
    for strides in ((2**31 + 8, 16, 4, 1), (16, 2**31 + 8, 4, 1)):
        q = wide.as_strided((2, 2, 1, 4), strides)
        q.copy_(drawn((2, 2, 1, 4), 0, torch.float16))
        k = drawn((2, 1, 1, 4), 1, torch.float16)
        expected = rope_reference(q, cos, sin)
        launch(q, k, cos, sin, q, k)
        torch.testing.assert_close(q, expected, rtol=2**-10, atol=1e-5)


def test_a_language_model_that_rotates_by_the_kernel() -> None:
    """The kernel in the layers of a small model: the logits of transformers' own rotation."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 16}
    scaling = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, rope_parameters=scaling)
    llm = LlamaForCausalLM(config).eval()
    ids = torch.arange(10).view(2, 5)

    def in_place(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        launch(q, k, cos.expand(2, -1, -1), sin.expand(2, -1, -1), q, k)
        return q, k

    with torch.no_grad():
        expected = llm(ids).logits
        assert fuse_rope(llm, device_type="cpu", rotate=in_place) == 2
        torch.testing.assert_close(llm(ids).logits, expected, rtol=0, atol=1e-5)
