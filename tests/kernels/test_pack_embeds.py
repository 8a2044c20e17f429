"""Packing straight into the language model's inputs, against words looked up, tokens packed and chosen between."""

import functools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kernels.pack.embeds import _backward, pack_embeds, pack_embeds_op, pack_into, pack_into_op
from kernels.pack.maps import InverseMap
from kernels.pack.move import joined, parted
from kernels.pack.op import pack
from kernels.pack.places import Places, runs
from kernels.pack.reference import pack_reference
from kernels.pack.table import Made, PackTable

WORDS = 11
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 1e-4), torch.float16: (2**-10, 2e-6)}


def placing(table: PackTable, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return ids and a visual index [2, L]: text, all tokens in order, some again in any order, some nowhere."""
    generator = torch.Generator().manual_seed(seed)
    count = table.num_tokens
    kept = torch.arange(count)[torch.rand(count, generator=generator) < 0.9] if seed else torch.arange(count)
    again = torch.randint(0, max(count, 1), (min(count, 9),), generator=generator)
    text = torch.full((4,), -1)
    visual = torch.cat([text, kept, text, again, text[:3], kept[: count // 2], text])
    visual = F.pad(visual, (0, len(visual) % 2), value=-1).view(2, -1)
    return torch.randint(0, WORDS, visual.shape, generator=generator), visual


def inputs(table: PackTable, width: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return words, features and end vectors."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((WORDS, width), (table.num_source // 9, 9, width), (2, width))
    words, features, ends = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    return words, features, ends


def chosen(words: Tensor, ids: Tensor, visual: Tensor, tokens: Tensor) -> Tensor:
    """Return the inputs as they are defined."""
    if not len(tokens):
        return F.embedding(ids, words)
    return torch.where((visual >= 0)[..., None], tokens[visual.clamp(min=0)], F.embedding(ids, words))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_are_words_and_packed_tokens(table: PackTable, dtype: torch.dtype) -> None:
    words, features, ends = inputs(table, 12, dtype)
    for seed in range(2):
        ids, visual = placing(table, seed)
        found = pack_embeds(words, ids, visual, features, ends, table)
        assert torch.equal(found, chosen(words, ids, visual, pack(features, ends, table)))
        rtol, atol = TOLERANCES[dtype]
        expected = chosen(words, ids, visual, pack_reference(features, ends, table))
        torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def test_text_rows_stay_as_they_are(table: PackTable) -> None:
    _, features, ends = inputs(table, 12)
    ids, visual = placing(table)
    embeds = torch.full((*ids.shape, 12), float("nan"))
    place = embeds.data_ptr()
    found = pack_into(embeds, visual, features, ends, table)
    assert found is embeds and embeds.data_ptr() == place
    assert embeds[visual < 0].isnan().all()
    tokens = pack(features, ends, table)
    assert torch.equal(embeds[visual >= 0], tokens[visual[visual >= 0]])


def test_a_buffer_is_used_again(everything: PackTable) -> None:
    _, features, ends = inputs(everything, 12)
    buffer = torch.full((everything.num_tokens, 12), float("nan"))
    for sign in (1, -1):
        assert pack_into(buffer, None, sign * features, ends, everything) is buffer
        assert torch.equal(buffer, pack(sign * features, ends, everything))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients(table: PackTable, dtype: torch.dtype) -> None:
    drawn = inputs(table, 6, dtype)
    ids, visual = placing(table, 1)
    grad = torch.randn(*ids.shape, 6, generator=torch.Generator().manual_seed(2)).to(dtype)
    leaves = [tensor.requires_grad_() for tensor in drawn]
    found = torch.autograd.grad(pack_embeds(leaves[0], ids, visual, *leaves[1:], table), leaves, grad)
    exact = [tensor.detach().float().requires_grad_() for tensor in drawn]
    packed = chosen(exact[0], ids, visual, pack_reference(*exact[1:], table))
    expected = torch.autograd.grad(packed, exact, grad.float(), allow_unused=True)
    # a word and a token stand in several rows
    relative = {torch.float32: 1e-5, torch.bfloat16: 2**-6, torch.float16: 2**-9}[dtype]
    absolute = {torch.float32: 1e-5, torch.bfloat16: 0.15, torch.float16: 0.02}[dtype]
    for mine, reference in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        reference = torch.zeros_like(mine, dtype=torch.float32) if reference is None else reference
        torch.testing.assert_close(mine.float(), reference, rtol=relative, atol=absolute)


def test_gradients_are_the_same_on_every_run(everything: PackTable) -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs(everything, 16)]
    ids, visual = placing(everything, 1)
    runs_of_it = [
        torch.autograd.grad(pack_embeds(leaves[0], ids, visual, *leaves[1:], everything).square().sum(), leaves)
        for _ in range(3)
    ]
    assert all(torch.equal(*pair) for other in runs_of_it[1:] for pair in zip(runs_of_it[0], other, strict=True))


def test_padding_gets_no_gradient(everything: PackTable) -> None:
    words, features, ends = inputs(everything, 4)
    words.requires_grad_()
    ids, visual = placing(everything)
    pack_embeds(words, ids, visual, features, ends, everything, padding_id=3).sum().backward()
    counts = torch.bincount(ids[visual < 0], minlength=WORDS).float()
    counts[3] = 0
    assert torch.equal(words.grad, counts[:, None].expand(-1, 4))


def test_operator_contracts(everything: PackTable) -> None:
    """torch's own checks: schema, mutation, fake outputs, autograd registration, tracing with symbolic shapes."""
    words, features, ends = (tensor.requires_grad_() for tensor in inputs(everything, 8))
    ids, visual = (tensor.flatten() for tensor in placing(everything))
    gather, inverse = everything.gather().tensors(), everything.inverse().tensors()
    flat, tables = features.flatten(0, 1), (everything.segments_SC, everything.segment_of_T)
    flags = (everything.resampled, everything.blocks, everything.peaks)
    torch.library.opcheck(pack_embeds_op, (words, ids, visual, flat, ends, *tables, gather, inverse, *flags, WORDS))
    plain = (flat.detach(), ends.detach(), *tables, gather, *flags)
    torch.library.opcheck(pack_into_op, (torch.zeros(len(visual), 8), visual, *plain))
    torch.library.opcheck(pack_into_op, (torch.zeros(everything.num_tokens, 8), None, *plain))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_to_one_graph(everything: PackTable, dynamic: bool) -> None:
    words, features, ends = (tensor.requires_grad_() for tensor in inputs(everything, 8))
    ids, visual = placing(everything)
    table = everything.prepare(backward=True)

    def call(words: Tensor, features: Tensor, ends: Tensor) -> Tensor:
        return pack_embeds(words * 2, ids, visual, features * 2, ends, table).square()

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    leaves = (words, features, ends)
    found, expected = compiled(*leaves), call(*leaves)
    assert torch.equal(found, expected)
    for mine, reference in zip(
        torch.autograd.grad(found.sum(), leaves), torch.autograd.grad(expected.sum(), leaves), strict=True
    ):
        assert torch.equal(mine, reference)


def test_writing_in_place_compiles_to_one_graph(everything: PackTable) -> None:
    words, features, ends = inputs(everything, 8)
    ids, visual = placing(everything)
    table = everything.prepare()

    def call(features: Tensor) -> Tensor:
        return pack_into(F.embedding(ids, words), visual, features, ends, table) * 2

    assert torch.equal(torch.compile(call, fullgraph=True, backend="aot_eager")(features), call(features))


class Operators(TorchDispatchMode):
    """The operators that run, but for views and empty memory: on a GPU each is a launch, a copy or a wait."""

    FREE = ("device", "view", "reshape", "empty", "new_empty", "detach", "select", "slice", "alias", "_unsafe_view")

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket._qualified_op_name.split("::")[-1]
        if name not in self.FREE:
            self.names.append(name)
        given = torch.utils._pytree.tree_leaves((args, kwargs))
        self.names += ["of the host" for value in given if isinstance(value, Tensor) and value.device.type == "cpu"]
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("into", [False, True])
def test_on_a_gpu_it_is_one_operator_and_no_wait(everything: PackTable, into: bool) -> None:
    """With pretended CUDA tensors: what a CUDA graph would record. No copy from the host, no number read back."""
    table = everything.prepare(backward=True)
    ids, visual = placing(everything)
    with FakeTensorMode(), torch.no_grad():
        table = fake(table)
        shape = (table.num_source // 9, 9, 8)
        features, ends, words = (torch.empty(size, device="cuda") for size in (shape, (2, 8), (WORDS, 8)))
        ids, visual = (torch.empty(ids.shape, device="cuda", dtype=torch.int64) for _ in range(2))
        embeds = torch.empty(*ids.shape, 8, device="cuda")
        with Operators() as seen:
            if into:
                pack_into(embeds, visual, features, ends, table)
            else:
                pack_embeds(words, ids, visual, features, ends, table)
    assert seen.names == ["pack_into" if into else "pack_embeds"]


def test_its_gradients_on_a_gpu_wait_for_nothing(everything: PackTable) -> None:
    ids, _ = placing(everything)
    everything.prepare(backward=True)
    with FakeTensorMode(), torch.no_grad():
        table = fake(everything)
        ids, visual = (torch.empty(ids.numel(), device="cuda", dtype=torch.int64) for _ in range(2))
        winners = torch.empty(table.num_tokens, 8, device="cuda", dtype=torch.uint8)
        context = SimpleNamespace(
            saved_tensors=(winners, ids, visual, *table.inverse().tensors()),
            needs_input_grad=(True, False, False, True, True),
            num_gather=0,
            num_words=WORDS,
            num_tokens=table.num_tokens,
            num_source=table.num_source,
            num_ends=2,
            ends_dtype=torch.float32,
            padding_id=WORDS,
        )
        with Operators() as seen:
            _backward(context, torch.empty(ids.numel(), 8, device="cuda"), None)
    ours = ["pack_grad_features", "pack_grad_ends", "embedding_dense_backward"]
    others = ["sort", "searchsorted", "arange", "where", "lt", "ge", "eq", "bitwise_or", "_to_copy", "scalar_tensor"]
    assert set(ours) <= set(seen.names) <= {*ours, *others}


def fake(table: PackTable) -> PackTable:
    """Return the table as pretended CUDA tensors; call under a FakeTensorMode."""

    def moved(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    inverse = InverseMap.of([moved(tensor) for tensor in table.inverse().tensors()])
    return replace(
        table,
        segments_SC=moved(table.segments_SC),
        segment_of_T=moved(table.segment_of_T),
        made=Made(inverse={torch.float32: inverse}),
    )


def test_runs() -> None:
    visual = torch.tensor([-1, -1, 0, 1, 2, 5, -1, 2, 3, 3])
    assert runs(visual) == [(0, 2, -1), (2, 5, 0), (5, 6, 5), (6, 7, -1), (7, 9, 2), (9, 10, 3)]
    assert runs(visual[:0]) == [] and runs(visual[:2]) == [(0, 2, -1)]


def test_places_list_the_rows_of_each_token() -> None:
    visual = torch.tensor([-1, 2, 0, 2, -1, 1, 2])
    places = Places.of(visual, num_tokens=5)
    assert places.ptr_T1.tolist() == [0, 1, 2, 5, 5, 5] and places.row_R.tolist()[:5] == [2, 5, 1, 3, 6]


def test_tables_travel_as_one_block(everything: PackTable) -> None:
    tensors = [everything.segments_SC, torch.empty(0, 3), *everything.inverse(torch.bfloat16).tensors()]
    block = joined(tensors)
    assert block.ndim == 1 and block.dtype == torch.uint8
    views = parted(block, tensors)
    for view, tensor in zip(views, tensors, strict=True):
        assert torch.equal(view, tensor) and view.dtype == tensor.dtype
        assert (view.data_ptr() - block.data_ptr()) % 16 == 0 or not view.numel()


def refusals() -> list[tuple[str, Callable[..., object]]]:
    return [
        ("ids are (2, 1), the visual index (1, 2)", lambda w, i, v, f, e, t: pack_embeds(w, i.T, v, f, e, t)),
        ("found torch.int32 and torch.int64", lambda w, i, v, f, e, t: pack_embeds(w, i.int(), v, f, e, t)),
        (
            "found 4 of torch.float16 and 4 of torch.float32",
            lambda w, i, v, f, e, t: pack_embeds(w.half(), i, v, f, e, t),
        ),
        ("names token 30 of 9", lambda w, i, v, f, e, t: pack_embeds(w, i, v + 30, f, e, t)),
        ("on one device", lambda w, i, v, f, e, t: pack_embeds(w.to("meta"), i, v, f, e, t)),
        ("ask for no gradient", lambda w, i, v, f, e, t: pack_into(torch.zeros(1, 2, 4).requires_grad_(), v, f, e, t)),
        (
            "contiguous (1, 2, 4) of torch.float32, found (1, 3, 4)",
            lambda w, i, v, f, e, t: pack_into(torch.zeros(1, 3, 4), v, f, e, t),
        ),
        ("with strides (8, 1, 2)", lambda w, i, v, f, e, t: pack_into(torch.zeros(1, 4, 2).mT, v, f, e, t)),
    ]


@pytest.mark.parametrize(("message", "call"), refusals(), ids=[message for message, _ in refusals()])
def test_what_does_not_fit_is_refused(make_table, message: str, call: Callable[..., object]) -> None:
    table = make_table((1, 1, ((0, 0, 3, 3), (3, 3), "none", 0)))
    words, features, ends = inputs(table, 4)
    ids, visual = torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[-1, 0]])
    with pytest.raises(ValueError) as refused:
        call(words, ids, visual, features, ends, table)
    assert message in str(refused.value)


def test_no_visual_token_and_no_row() -> None:
    nothing = functools.partial(torch.zeros, dtype=torch.int64)
    table = PackTable.of([], [], num_source=0)
    words = torch.randn(WORDS, 4)
    features, ends = torch.empty(0, 9, 4), torch.zeros(1, 4)
    text = pack_embeds(words, nothing(1, 3), nothing(1, 3) - 1, features, ends, table)
    assert torch.equal(text, words[:1].expand(1, 3, 4))
    assert pack_embeds(words, nothing(1, 0), nothing(1, 0), features, ends, table).shape == (1, 0, 4)


def test_copies_are_the_source_tokens() -> None:
    table = PackTable.copies(7)
    features = torch.randn(7, 1, 3)
    assert torch.equal(pack(features, torch.zeros(0, 3), table), features[:, 0])
