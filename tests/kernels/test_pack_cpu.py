"""The CPU path and the operator against the reference, forward and backward."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels.pack.maps import InverseMap
from kernels.pack.op import pack, pack_op
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def inputs(table: PackTable, width: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(table.num_source // 9, 9, width, generator=generator, dtype=torch.float64).to(dtype)
    return features, torch.randn(2, width, generator=generator, dtype=torch.float64).to(dtype)


def copied(table: PackTable) -> Tensor:
    """Return which packed tokens are copies or end vectors, from the segments alone."""
    segments = table.segments_SC[table.segment_of_T.long()]
    return (segments[:, 5:7] == segments[:, 7:9]).all(1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 33, 64])
def test_forward(table: PackTable, width: int, dtype: torch.dtype) -> None:
    features, ends = inputs(table, width, dtype)
    expected, found = pack_reference(features, ends, table), pack(features, ends, table)
    assert found.dtype == dtype and found.shape == expected.shape
    same = copied(table)
    assert torch.equal(found[same], expected[same])
    # half types: one unit in the last place, and weights of 16 (bfloat16) or 22 bits (float16) on numbers below 4
    rtol, atol = {torch.float32: (0, 1e-6), torch.bfloat16: (2**-7, 6e-5), torch.float16: (2**-10, 1e-6)}[dtype]
    torch.testing.assert_close(found.double(), expected.double(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_backward(table: PackTable, dtype: torch.dtype) -> None:
    features, ends = (tensor.requires_grad_() for tensor in inputs(table, 20, dtype))
    weight = torch.randn(table.num_tokens, 20, generator=torch.Generator().manual_seed(1)).to(dtype)
    exact = [tensor.detach().float().requires_grad_() for tensor in (features, ends)]
    expected = torch.autograd.grad(pack_reference(*exact, table), exact, weight.float(), allow_unused=True)
    found = torch.autograd.grad(pack(features, ends, table), (features, ends), weight)
    for mine, reference in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        reference = torch.zeros_like(mine, dtype=torch.float32) if reference is None else reference
        tolerance = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
        torch.testing.assert_close(mine.float(), reference, rtol=tolerance, atol=1e-5)


def test_gradients_against_finite_differences(everything: PackTable) -> None:
    features, ends = (tensor.requires_grad_() for tensor in inputs(everything, 2, torch.float64))
    assert torch.autograd.gradcheck(lambda f, e: pack(f, e, everything), (features, ends), fast_mode=True)


def test_gradients_entry_by_entry(make_table) -> None:
    table = make_table((2, 2, ((0, 1, 6, 4), (4, 3), "row", 0)), (1, 1, ((0, 0, 3, 3), (3, 3), "segment", 1)))
    features, ends = (tensor.requires_grad_() for tensor in inputs(table, 1, torch.float64))
    assert torch.autograd.gradcheck(lambda f, e: pack(f, e, table), (features, ends))


def test_a_gradient_for_one_input_only(everything: PackTable) -> None:
    features, ends = inputs(everything, 4)
    ends.requires_grad_()
    pack(features, ends, everything).sum().backward()
    # each end vector is as often in the output as its gradient of a sum says
    vectors = everything.gather().end_vec_E
    assert ends.grad.tolist() == [[float((vectors == k).sum())] * 4 for k in range(2)]


def test_float32_end_vectors_with_bfloat16_features(everything: PackTable) -> None:
    features, _ = inputs(everything, 4, torch.bfloat16)
    _, ends = inputs(everything, 4)
    ends.requires_grad_()
    packed = pack(features, ends, everything)
    packed.sum().backward()
    assert packed.dtype == torch.bfloat16 and ends.grad.dtype == torch.float32


def test_inverse_is_the_transpose(table: PackTable) -> None:
    gather, inverse = table.gather(), table.inverse()
    forward_TM = dense(gather.taps, table.num_source)
    assert torch.equal(dense(inverse.taps, table.num_tokens), forward_TM.T)
    rows = torch.cat([gather.end_row_E[gather.end_vec_E == k] for k in range(table.num_ends)] or [gather.end_row_E])
    assert torch.equal(inverse.end_row_E.long(), rows)
    # the weights of a token add up to one; an end vector has none, and neither has the largest of a block
    total_T = torch.ones(table.num_tokens).index_fill_(0, gather.end_row_E, 0).index_fill_(0, gather.peak_row_Z, 0)
    torch.testing.assert_close(forward_TM.sum(1), total_T, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 16), (torch.float16, 22)], ids=str)
def test_split_weights(everything: PackTable, dtype: torch.dtype, bits: int) -> None:
    """A weight and its two halves differ by less than the last of the bits they hold, and copies keep one tap."""
    exact, split = everything.gather().taps, everything.gather(dtype).taps
    assert split.weight_X.dtype == dtype and (split.weight_X != 0).all()
    error = dense(split, everything.num_source) - dense(exact, everything.num_source)
    assert 0 < error.abs().max() <= 2.0**-bits
    whole = exact.weight_X == 1
    assert int((split.weight_X == 1).sum()) == int(whole.sum())


def test_infinite_features_stay_in_their_tokens(everything: PackTable) -> None:
    """A copy reads its own source only, with one weight of one: no zero times infinity."""
    for dtype in DTYPES:
        features, ends = inputs(everything, 3, dtype)
        features[0, 0] = float("inf")
        expected, found = pack_reference(features, ends, everything), pack(features, ends, everything)
        same = copied(everything)
        assert torch.equal(found[same], expected[same]) and expected[same].isinf().any()


def dense(taps, columns: int) -> Tensor:
    matrix = torch.zeros(len(taps.ptr_R1) - 1, columns)
    for row, (start, stop) in enumerate(zip(taps.ptr_R1[:-1], taps.ptr_R1[1:], strict=True)):
        matrix[row].index_add_(0, taps.index_X[start:stop].long(), taps.weight_X[start:stop].float())
    return matrix


def test_operator_contracts(everything: PackTable) -> None:
    """torch's own checks: schema, fake outputs, autograd registration, tracing with symbolic shapes."""
    features, ends = (tensor.requires_grad_() for tensor in inputs(everything, 8))
    gather = everything.gather()
    tables = (everything.segments_SC, everything.segment_of_T, gather.tensors(), everything.inverse().tensors())
    flags = (everything.resampled, everything.blocks, everything.peaks)
    torch.library.opcheck(pack_op, (features.flatten(0, 1), ends, *tables, *flags))


def test_compiles_to_one_graph(everything: PackTable) -> None:
    features, ends = (tensor.requires_grad_() for tensor in inputs(everything, 8))
    table = everything.prepare(backward=True)
    compiled = torch.compile(lambda f, e: pack(f * 2, e, table).square(), fullgraph=True, backend="aot_eager")
    expected = pack(features * 2, ends, table).square()
    found = compiled(features, ends)
    assert torch.equal(found, expected)
    for mine, reference in zip(
        torch.autograd.grad(found.sum(), (features, ends)),
        torch.autograd.grad(expected.sum(), (features, ends)),
        strict=True,
    ):
        assert torch.equal(mine, reference)


def test_features_that_are_a_view(everything: PackTable) -> None:
    """A tower's class token is dropped by a view, which is not contiguous."""
    features, ends = inputs(everything, 8)
    with_class = torch.cat([features[:, :1], features], dim=1)
    assert torch.equal(pack(with_class[:, 1:], ends, everything), pack(features, ends, everything))


def test_mismatches_name_both_numbers(everything: PackTable) -> None:
    features, ends = inputs(everything, 8)
    source = everything.num_source
    with pytest.raises(ValueError, match=f"need {source} encoder tokens, the features hold {source - 9}"):
        pack(features[1:], ends, everything)
    with pytest.raises(ValueError, match="features are 8 wide, the end vectors 7"):
        pack(features, ends[:, :7], everything)
    with pytest.raises(ValueError, match="use 2 end vectors, 1 given"):
        pack(features, ends[:1], everything)
    with pytest.raises(ValueError, match=r"expected features \[N, P, D\]"):
        pack(features.flatten(0, 1), ends, everything)
    with pytest.raises(ValueError, match=r"on one cpu or cuda device, found .*meta"):
        pack(features.to("meta"), ends, everything)


GOOD_ROW = [0, 2, 3, 0, 1, 3, 5, 3, 5, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        (0, 1, "crops beyond its canvas"),
        (6, 6, "crops beyond its canvas"),
        (3, 1, "crops beyond its canvas"),
        (4, -1, "negative entry"),
        (8, 4, "another number of tokens"),
        (9, 0, "another number of tokens"),
        (11, 1, "does not start where"),
        (5, 0, "resamples an empty crop"),
        (12, 3, "unknown reduction"),
        (13, 1, "another number of tokens"),
    ],
)
def test_a_table_never_reads_out_of_bounds(column: int, value: int, problem: str) -> None:
    PackTable.of([GOOD_ROW], [18], num_source=18)
    row = [*GOOD_ROW]
    row[column] = value
    with pytest.raises(ValueError, match=problem):
        PackTable.of([row], [18], num_source=18)


@pytest.mark.parametrize("reduce", [1, 2])
def test_blocks_that_do_not_fit_are_refused(reduce: int) -> None:
    PackTable.of([[0, 2, 3, 0, 0, 3, 6, 1, 3, 0, 0, 0, reduce, 0]], [3], num_source=18)
    for out in ((2, 3), (1, 4), (3, 5), (0, 3)):
        with pytest.raises(ValueError, match="whole blocks"):
            PackTable.of([[0, 2, 3, 0, 0, 3, 6, *out, 0, 0, 0, reduce, 0]], [out[0] * out[1]], num_source=18)


def test_blocks_of_one_token_are_copies(make_table) -> None:
    table = make_table((1, 1, ((0, 0, 3, 3), (3, 3), "none", 0, "max", None)))
    # no kernel looks for winners that the maps do not have
    assert not table.blocks and not table.peaks and not len(table.inverse().peaks.ptr_R1[1:])
    table = make_table((1, 1, ((0, 0, 3, 3), (3, 1), "none", 0, "max", None)))
    assert table.blocks and table.peaks and len(table.inverse().peaks.ptr_R1) == 10


def test_blocks_whose_winner_a_byte_cannot_name_are_refused() -> None:
    PackTable.of([[0, 1, 17, 0, 0, 16, 16, 1, 1, 0, 0, 0, 2, 0]], [1], num_source=289)
    with pytest.raises(ValueError, match="largest of more than 256 tokens"):
        PackTable.of([[0, 1, 17, 0, 0, 17, 16, 1, 1, 0, 0, 0, 2, 0]], [1], num_source=289)


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, -0.0)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_first_of_equal_numbers_gets_the_gradient(
    everything: PackTable, dtype: torch.dtype, values: tuple[float, float]
) -> None:
    """Features of two values only: nearly every block holds its largest number several times."""
    generator = torch.Generator().manual_seed(0)
    shape = (everything.num_source // 9, 9, 6)
    features = torch.tensor(values)[torch.randint(0, 2, shape, generator=generator)].to(dtype).requires_grad_()
    exact = features.detach().float().requires_grad_()
    ends = torch.zeros(2, 6)
    weight = torch.randint(1, 9, (everything.num_tokens, 6), generator=generator).to(dtype)
    (expected,) = torch.autograd.grad(pack_reference(exact, ends, everything), exact, weight.float())
    (found,) = torch.autograd.grad(pack(features, ends.to(dtype), everything), features, weight)
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    torch.testing.assert_close(found.float(), expected, rtol=tolerance, atol=1e-5)


def test_a_nan_in_a_block_is_its_largest_number(make_table) -> None:
    table = make_table((1, 1, ((0, 0, 3, 3), (1, 1), "none", 0, "max", None)))
    features = torch.arange(9.0).reshape(1, 9, 1).requires_grad_()
    for places in ([0], [4], [8], [2, 5]):
        damaged = features.detach().clone().index_fill_(1, torch.tensor(places), float("nan")).requires_grad_()
        found, expected = pack(damaged, torch.zeros(1, 1), table), pack_reference(damaged, torch.zeros(1, 1), table)
        assert found.isnan().all() and expected.isnan().all()
        gradients = [torch.autograd.grad(packed.sum(), damaged)[0] for packed in (found, expected)]
        assert torch.equal(*gradients)


def test_too_many_tokens_for_a_table() -> None:
    with pytest.raises(ValueError, match="2147483648 source"):
        PackTable.of([], [], num_source=2**31)


def test_tables_travel_between_processes(everything: PackTable) -> None:
    features, ends = inputs(everything, 4)
    copy = pickle.loads(pickle.dumps(everything.prepare(backward=True)))
    assert copy.made.inverse
    assert torch.equal(pack(features, ends, copy), pack(features, ends, everything))


def test_a_device_copy_keeps_its_host_tables(everything: PackTable) -> None:
    moved = everything.to("meta")
    assert moved.device.type == "meta" and moved.num_tokens == everything.num_tokens
    # the maps are still made from the host tables, without reading the device
    assert isinstance(moved.inverse(), InverseMap) and moved.inverse().taps.index_X.is_meta
    assert torch.equal(moved.gather().taps.index_X, everything.gather().taps.index_X)


def test_packing_on_a_cpu_needs_no_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from kernels.pack.op import pack; from kernels.pack.table import PackTable\n"
        "table = PackTable.of([[0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0]], [1], num_source=1)\n"
        "pack(torch.ones(1, 1, 4, requires_grad=True), torch.ones(1, 4), table).sum().backward()\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
