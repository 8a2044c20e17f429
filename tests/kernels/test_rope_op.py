"""The rotary embedding on a CPU: transformers' tables and rotation, gradients, in place, operator contracts."""

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from kernels.rope.op import rope, rope_, rope_in_place_op, rope_op
from kernels.rope.reference import rope_reference
from kernels.rope.tables import RopeSpec, frequencies, rope_tables

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-8, 1e-6), torch.float16: (2**-11, 1e-6)}
CASES = [(4, 4, 8, 8), (4, 2, 16, 16), (7, 1, 10, 10), (3, 2, 12, 4), (1, 1, 2, 2)]
TRAINED = 64
SCALINGS = {
    "default": {},
    "linear": {"factor": 2.0},
    "linear by 3.5": {"rope_type": "linear", "factor": 3.5},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": TRAINED},
    "yarn, own amplitude": {
        "rope_type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": TRAINED,
        "attention_factor": 1.25,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": TRAINED,
    },
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tables(rows: int, length: int, rotated: int) -> tuple[Tensor, Tensor]:
    positions = torch.arange(length) + 100 * torch.arange(rows)[:, None]
    return rope_tables(positions, frequencies(RopeSpec(theta=1e4, width=rotated)))


@pytest.mark.parametrize("length", [TRAINED // 2, 3 * TRAINED])
@pytest.mark.parametrize("width", [16, 128])
@pytest.mark.parametrize("name", SCALINGS)
def test_tables_are_those_of_transformers(name: str, width: int, length: int) -> None:
    given = {"rope_type": name, **SCALINGS[name]}
    config = LlamaConfig(
        hidden_size=2 * width,
        num_attention_heads=2,
        max_position_embeddings=TRAINED,
        rope_parameters={**given, "rope_theta": 5e5},
    )
    positions = torch.arange(length)[None]
    cos, sin = LlamaRotaryEmbedding(config)(torch.zeros(1), positions)
    own = {"attention_factor", "beta_fast", "beta_slow", "low_freq_factor", "high_freq_factor"}
    spec = RopeSpec(
        kind=given["rope_type"],
        theta=5e5,
        width=width,
        factor=given.get("factor", 1.0),
        trained=TRAINED,
        **{key: value for key, value in given.items() if key in own},
    )
    mine = rope_tables(positions, frequencies(spec, length), spec.amplitude)
    assert torch.equal(mine[0], cos[..., : width // 2]) and torch.equal(mine[1], sin[..., : width // 2])
    # one number for both channels of a pair
    assert torch.equal(cos[..., : width // 2], cos[..., width // 2 :])


def test_a_linear_factor_divides_positions() -> None:
    plain, scaled = RopeSpec(theta=1e4, width=8), RopeSpec(kind="linear", theta=1e4, width=8, factor=2.0)
    even = rope_tables(torch.arange(0, 20, 2)[None], frequencies(scaled))
    assert torch.equal(even[0], rope_tables(torch.arange(10)[None], frequencies(plain))[0])


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_gradient(case: tuple[int, ...], dtype: torch.dtype, in_place: bool) -> None:
    q_heads, k_heads, width, rotated = case
    rtol, atol = TOLERANCES[dtype]
    cos, sin = tables(2, 3, rotated)
    flat = [drawn(2, 3, heads, width, seed=heads).to(dtype).requires_grad_() for heads in (q_heads, k_heads)]
    exact = [x.detach().float().requires_grad_() for x in flat]
    # in place only on what a projection gave
    given = [(x * 1).transpose(1, 2) for x in flat]
    found = (rope_ if in_place else rope)(*given, cos, sin)
    expected = [rope_reference(x.transpose(1, 2), cos, sin) for x in exact]
    for mine, right, before in zip(found, expected, given, strict=True):
        torch.testing.assert_close(mine.float(), right, rtol=rtol, atol=atol)
        assert (mine.data_ptr() == before.data_ptr()) == in_place
        assert mine.stride() == before.stride()
    grads = [drawn(*x.shape, seed=9).to(dtype) for x in found]
    found = torch.autograd.grad(found, flat, grads)
    expected = torch.autograd.grad(expected, exact, [grad.float() for grad in grads])
    for mine, right in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.float(), right, rtol=rtol, atol=atol)


@pytest.mark.parametrize("rows", [1, 2])
def test_more_positions_than_a_piece(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # three positions of two heads, four rotated channels, four bytes
    monkeypatch.setattr("kernels.rope.cpu.PIECE_BYTES", 3 * rows * 2 * 4 * 4)
    cos, sin = tables(1, 8, 4)
    q, k = drawn(rows, 2, 8, 6), drawn(rows, 2, 8, 6, seed=1)
    for mine, x in zip(rope(q, k, cos, sin), (q, k), strict=True):
        torch.testing.assert_close(mine, rope_reference(x, cos, sin), rtol=0, atol=1e-6)


def test_equal_to_transformers_rotation() -> None:
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
    q, k = drawn(2, 4, 5, 16), drawn(2, 2, 5, 16, seed=1)
    cos, sin = LlamaRotaryEmbedding(config)(q, torch.arange(5)[None])
    for mine, theirs in zip(rope(q, k, cos[..., :8], sin[..., :8]), apply_rotary_pos_emb(q, k, cos, sin), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_finite_differences() -> None:
    cos, sin = (table.double() for table in tables(1, 3, 4))
    q, k = drawn(2, 3, 3, 6).double().requires_grad_(), drawn(2, 1, 3, 6, seed=1).double().requires_grad_()
    torch.autograd.gradcheck(lambda q, k: rope(q, k, cos, sin), (q, k))


def test_in_place_behind_a_linear_layer() -> None:
    """What a model does: project, view as heads, rotate; autograd goes on from what rope_ returns."""
    cos, sin = tables(1, 3, 4)
    layer, x = nn.Linear(6, 8, bias=False), drawn(2, 3, 6)
    grads = []
    for rotate in (rope, rope_):
        q = layer(x).view(2, 3, 2, 4).transpose(1, 2)
        k = layer(x + 1).view(2, 3, 2, 4).transpose(1, 2)
        q, k = rotate(q, k, cos, sin)
        grads.append(torch.autograd.grad((q @ k.transpose(2, 3)).softmax(-1).square().sum(), layer.weight)[0])
    assert torch.equal(*grads)


def test_autograd_refuses_the_numbers_that_were_overwritten() -> None:
    cos, sin = tables(1, 3, 4)
    x = drawn(1, 1, 3, 4).requires_grad_()
    # exp keeps its result for its gradient
    q = x.exp()
    q_out, _ = rope_(q, drawn(1, 1, 3, 4), cos, sin)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        q_out.sum().backward()


def test_without_a_gradient_the_tensors_themselves_come_back() -> None:
    cos, sin = tables(1, 3, 4)
    q, k = drawn(1, 2, 3, 6), drawn(1, 1, 3, 6)
    expected = rope_reference(q, cos, sin)
    q_out, k_out = rope_(q, k, cos, sin)
    assert q_out is q and k_out is k
    torch.testing.assert_close(q, expected, rtol=0, atol=1e-6)


def test_operator_contracts() -> None:
    cos, sin = tables(2, 3, 4)
    q, k = drawn(2, 3, 2, 6).transpose(1, 2), drawn(2, 1, 3, 6)
    torch.library.opcheck(rope_op, (q.clone().requires_grad_(), k.clone().requires_grad_(), cos, sin, False))
    torch.library.opcheck(rope_in_place_op, (drawn(2, 2, 3, 6), k, cos, sin))


@pytest.mark.parametrize("in_place", [False, True])
def test_compiles_to_one_graph(in_place: bool) -> None:
    cos, sin = tables(1, 3, 4)

    def layer(q: Tensor, k: Tensor) -> Tensor:
        q, k = (rope_ if in_place else rope)(q * 2, k * 2, cos, sin)
        return q @ k.transpose(2, 3)

    q, k = drawn(1, 2, 3, 6).requires_grad_(not in_place), drawn(1, 2, 3, 6, seed=1)
    expected, found = layer(q, k), torch.compile(layer, fullgraph=True, backend="aot_eager")(q, k)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if not in_place:
        torch.testing.assert_close(*(torch.autograd.grad(y.sum(), q)[0] for y in (found, expected)))


def test_refusals() -> None:
    cos, sin = tables(2, 3, 4)
    q, k = drawn(2, 4, 3, 8), drawn(2, 2, 3, 8)
    with pytest.raises(ValueError, match="same rows, positions and width"):
        rope(q, k[..., :6], cos, sin)
    with pytest.raises(ValueError, match=r"tables \(2, 2, 2\) do not fit"):
        rope(q, k, cos[:, :2], sin[:, :2])
    with pytest.raises(ValueError, match="do not fit"):
        rope(q, k, *tables(2, 3, 10))
    with pytest.raises(ValueError, match="two tables"):
        rope(q, k, cos, sin[:1])
    with pytest.raises(ValueError, match=r"torch.float32 and torch.bfloat16"):
        rope_(q, k.bfloat16(), cos, sin)
    with pytest.raises(ValueError, match="next to each other"):
        rope_(drawn(2, 4, 8, 3).transpose(2, 3), k, cos, sin)
    with pytest.raises(ValueError, match="even number of rotated channels, found 5"):
        RopeSpec(theta=1e4, width=5)
    with pytest.raises(ValueError, match="'yarn' needs the positions"):
        RopeSpec(kind="yarn", theta=1e4, width=4, factor=2.0)
    with pytest.raises(ValueError, match="'ntk'"):
        RopeSpec(kind="ntk", theta=1e4, width=4)
