"""The Triton kernels' numbers, in Triton's interpreter on a CPU: every output starts as NaN.

test_pack_triton.py runs this file with TRITON_INTERPRET=1 in a process of its own: the interpreter has to be chosen
before the kernels are defined.
"""

import pytest
import torch
from torch import Tensor

from kernels.pack.kernel import pack_forward_kernel
from kernels.pack.launch import Words, launch_forward, launch_grad_ends, launch_grad_features
from kernels.pack.places import Places
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable

pytestmark = pytest.mark.usefixtures("tall_programs")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# float32: sums of four products, and a source place that a GPU rounds once where the interpreter rounds twice.
# bfloat16: the interpreter truncates where a GPU rounds, so one unit in the last place. float16 rounds.
TOLERANCES = {torch.float32: (0, 2e-6), torch.bfloat16: (2**-7, 1e-6), torch.float16: (2**-10, 2e-6)}


def inputs(table: PackTable, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(table.num_source // 9, 9, width, generator=generator).to(dtype)
    return features, torch.randn(2, width, generator=generator).to(dtype)


def run_forward(features: Tensor, ends: Tensor, table: PackTable) -> Tensor:
    out_TD = torch.full((table.num_tokens, features.shape[-1]), float("nan"), dtype=features.dtype)
    forward(features.flatten(0, 1), ends, table, out_TD)
    return out_TD


def forward(features_MD: Tensor, ends: Tensor, table: PackTable, out_TD: Tensor, wants_winners: bool = False) -> Tensor:
    """Write the packed tokens, and return the winners of blocks; numbers that nobody writes are 255."""
    rows = table.num_tokens if wants_winners and table.peaks else 0
    winners_TD = torch.full((rows, features_MD.shape[-1]), 255, dtype=torch.uint8)
    launch_forward(
        features_MD,
        ends,
        table.segments_SC,
        table.segment_of_T,
        out_TD,
        winners_TD,
        resampled=table.resampled,
        blocks=table.blocks,
        peaks=table.peaks,
    )
    return winners_TD


def check_forward(table: PackTable, width: int, dtype: torch.dtype) -> None:
    features, ends = inputs(table, width, dtype)
    expected, found = pack_reference(features, ends, table), run_forward(features, ends, table)
    segments = table.segments_SC[table.segment_of_T.long()]
    same = (segments[:, 5:7] == segments[:, 7:9]).all(1)
    assert torch.equal(found[same], expected[same])
    rtol, atol = TOLERANCES[dtype]
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def test_forward(table: PackTable) -> None:
    check_forward(table, 33, torch.float32)


@pytest.mark.usefixtures("as_launched")
@pytest.mark.parametrize(("width", "dtype"), [(33, torch.float32), (64, torch.bfloat16), (16, torch.float16)], ids=str)
def test_programs_as_launched(mixed: PackTable, width: int, dtype: torch.dtype) -> None:
    check_forward(mixed, width, dtype)
    check_gradients(mixed, width, dtype)
    check_placed(mixed, width, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 33, 64])
def test_forward_by_dtype_and_width(everything: PackTable, width: int, dtype: torch.dtype) -> None:
    check_forward(everything, width, dtype)


@pytest.mark.parametrize("width", [520, 2052])
def test_forward_over_several_blocks_of_channels(make_table, width: int) -> None:
    check_forward(make_table((1, 2, ((0, 0, 3, 6), (2, 3), "row", 1))), width, torch.bfloat16)


def check_gradients(table: PackTable, width: int, dtype: torch.dtype) -> None:
    drawn = inputs(table, width, dtype)
    if table.peaks:
        # four values only: blocks hold their largest number more than once
        drawn = (drawn[0].round().clamp(-1, 2), drawn[1])
    features, ends = (tensor.float().requires_grad_() for tensor in drawn)
    grad_TD = torch.randn(table.num_tokens, width, generator=torch.Generator().manual_seed(1)).to(dtype)
    packed = pack_reference(features, ends, table) + 0 * ends.sum()
    expected = torch.autograd.grad(packed, (features, ends), grad_TD.float())
    found = torch.full((table.num_source, width), float("nan"), dtype=dtype)
    winners_TD = forward(drawn[0].flatten(0, 1), drawn[1], table, torch.empty_like(grad_TD), wants_winners=True)
    launch_grad_features(grad_TD, table.inverse(), found, winners_TD)
    rtol, atol = TOLERANCES[dtype]
    # a source token may feed many packed tokens
    torch.testing.assert_close(found.float(), expected[0].flatten(0, 1), rtol=rtol, atol=4 * atol)
    partial = torch.full((3, table.num_ends, width), float("nan"))
    launch_grad_ends(grad_TD, table.inverse(), partial)
    torch.testing.assert_close(partial.sum(0), expected[1][: table.num_ends], rtol=0, atol=1e-5)


def test_gradients(table: PackTable) -> None:
    check_gradients(table, 33, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [1, 33, 64])
def test_gradients_by_dtype_and_width(everything: PackTable, width: int, dtype: torch.dtype) -> None:
    check_gradients(everything, width, dtype)


def placing(table: PackTable) -> Tensor:
    """Return a visual index [R]: text, all tokens but one in order, text, some again, and one that does not exist."""
    count = table.num_tokens
    again = torch.arange(0, count, max(count // 5, 1)).flip(0)
    text = torch.full((3,), -1)
    return torch.cat([text, torch.arange(count)[:-1], text, again, torch.tensor([count]), text[:1]])


def check_placed(table: PackTable, width: int, dtype: torch.dtype) -> None:
    features, ends = inputs(table, width, dtype)
    words = torch.randn(5, width, generator=torch.Generator().manual_seed(3)).to(dtype)
    visual_R = placing(table)
    # the last row of text asks for a word that does not exist
    ids_R = (torch.arange(len(visual_R)) % 5).index_fill_(0, torch.tensor(len(visual_R) - 1), 5)
    tokens = run_forward(features, ends, table)
    is_token, is_text = (visual_R >= 0) & (visual_R < table.num_tokens), visual_R < 0
    for given in (None, Words(words, ids_R)):
        out_RD = torch.full((len(visual_R), width), 7.0, dtype=dtype)
        launch_forward(
            features.flatten(0, 1),
            ends,
            table.segments_SC,
            table.segment_of_T,
            out_RD,
            torch.empty(0, width, dtype=torch.uint8),
            resampled=table.resampled,
            blocks=table.blocks,
            peaks=table.peaks,
            visual_R=visual_R,
            words=given,
        )
        assert torch.equal(out_RD[is_token], tokens[visual_R[is_token]])
        assert out_RD[visual_R == table.num_tokens].isnan().all()
        if given is None:
            assert (out_RD[is_text] == 7).all()
        else:
            assert torch.equal(out_RD[is_text][:-1], words[ids_R[is_text][:-1]]) and out_RD[-1].isnan().all()


def check_placed_gradients(table: PackTable, width: int, dtype: torch.dtype) -> None:
    drawn = inputs(table, width, dtype)
    visual_R = placing(table)
    visual_R[visual_R == table.num_tokens] = -1
    grad_RD = torch.randn(len(visual_R), width, generator=torch.Generator().manual_seed(1)).to(dtype)
    grad_RD[visual_R < 0] = float("nan")
    features, ends = (tensor.float().requires_grad_() for tensor in drawn)
    packed = pack_reference(features, ends, table) + 0 * ends.sum()
    grad_TD = torch.zeros(table.num_tokens, width).index_add_(
        0, visual_R[visual_R >= 0], grad_RD[visual_R >= 0].float()
    )
    expected = torch.autograd.grad(packed, (features, ends), grad_TD)
    places = Places.of(visual_R, table.num_tokens)
    winners_TD = forward(drawn[0].flatten(0, 1), drawn[1], table, torch.empty_like(grad_TD, dtype=dtype), True)
    found = torch.full((table.num_source, width), float("nan"), dtype=dtype)
    launch_grad_features(grad_RD, table.inverse(), found, winners_TD, places)
    rtol, atol = TOLERANCES[dtype]
    torch.testing.assert_close(found.float(), expected[0].flatten(0, 1), rtol=rtol, atol=4 * atol)
    partial = torch.full((3, table.num_ends, width), float("nan"))
    launch_grad_ends(grad_RD, table.inverse(), partial, places)
    torch.testing.assert_close(partial.sum(0), expected[1][: table.num_ends], rtol=0, atol=1e-5)


@pytest.fixture
def mixed(make_table) -> PackTable:
    """Copies, resampled, means and largest of blocks, and all kinds of end vectors."""
    return make_table(
        (1, 1, ((0, 0, 3, 3), (3, 3), "none", 0)),
        (1, 1, ((0, 0, 3, 3), (2, 2), "row", 0, "bilinear", 1)),
        (1, 2, ((0, 0, 2, 6), (1, 3), "segment", 1, "max", None), ((0, 1, 2, 4), (1, 2), "row", 0, "average", 0)),
    )


PLACED = [(33, torch.float32), (64, torch.bfloat16), (8, torch.float16)]


@pytest.mark.parametrize(("width", "dtype"), PLACED)
def test_placed_among_words(mixed: PackTable, width: int, dtype: torch.dtype) -> None:
    check_placed(mixed, width, dtype)


@pytest.mark.parametrize(("width", "dtype"), PLACED)
def test_gradients_of_placed_tokens(mixed: PackTable, width: int, dtype: torch.dtype) -> None:
    check_placed_gradients(mixed, width, dtype)


def test_words_alone(make_table) -> None:
    """No packed token, so no segment to read."""
    table = make_table()
    words, out_RD = torch.randn(4, 9), torch.full((3, 9), float("nan"))
    ids_R = torch.tensor([3, 0, 3])
    launch_forward(
        *(torch.empty(0, 9), torch.zeros(1, 9), table.segments_SC, table.segment_of_T),
        *(out_RD, torch.empty(0, 9, dtype=torch.uint8)),
        resampled=False,
        blocks=False,
        peaks=False,
        visual_R=torch.full((3,), -1),
        words=Words(words, ids_R),
    )
    assert torch.equal(out_RD, words[ids_R])


def test_many_row_ends_in_a_few_splits(make_table) -> None:
    """More ends than the splits take in one go: 150 in steps of 2 x 32."""
    table = make_table(*((2, 2, ((0, 3, 6, 0), (6, 0), "row", 0)) for _ in range(25)))
    grad_TD = torch.randn(150, 5, generator=torch.Generator().manual_seed(1))
    partial = torch.full((2, 1, 5), float("nan"))
    launch_grad_ends(grad_TD, table.inverse(), partial)
    torch.testing.assert_close(partial.sum(0)[0], grad_TD.sum(0), rtol=0, atol=1e-5)


def test_one_launch_packs_the_whole_batch(everything: PackTable, monkeypatch: pytest.MonkeyPatch) -> None:
    launches = []
    getitem = type(pack_forward_kernel).__getitem__
    monkeypatch.setattr(
        type(pack_forward_kernel), "__getitem__", lambda self, grid: launches.append(grid) or getitem(self, grid)
    )
    features, ends = inputs(everything, 8, torch.float32)
    run_forward(features, ends, everything)
    assert len(launches) == 1


def test_offsets_beyond_32_bits() -> None:
    """A row whose first number lies beyond 2**31 numbers; memory that nobody touches is never given."""
    width = 4096
    num_source = 2**31 // width + 1
    features_MD = torch.empty(num_source, width, dtype=torch.float16)
    features_MD[-1] = torch.arange(width) % 1000
    table = PackTable.of([[num_source - 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0]], [1], num_source)
    out_TD = torch.full((1, width), float("nan"), dtype=torch.float16)
    forward(features_MD, torch.zeros(1, width), table, out_TD)
    assert torch.equal(out_TD[0], features_MD[-1])


def test_words_and_rows_beyond_32_bits(make_table) -> None:
    """A word, and a row of a gradient, whose first number lies beyond 2**31 numbers."""
    width = 4096
    count = 2**31 // width + 1
    table = make_table((1, 1, ((0, 0, 1, 1), (1, 1), "row", 0)))
    far_XD = torch.empty(count, width, dtype=torch.float16)
    far_XD[-1] = torch.arange(width) % 1000
    out_RD = torch.full((1, width), float("nan"), dtype=torch.float16)
    launch_forward(
        *(torch.zeros(9, width, dtype=torch.float16), torch.zeros(1, width, dtype=torch.float16)),
        *(table.segments_SC, table.segment_of_T, out_RD, torch.empty(0, width, dtype=torch.uint8)),
        resampled=False,
        blocks=False,
        peaks=False,
        visual_R=torch.tensor([-1]),
        words=Words(far_XD, torch.tensor([count - 1])),
    )
    assert torch.equal(out_RD[0], far_XD[-1])
    # token 0 stands in the last row, and so does the end vector
    places = Places(row_R=torch.full((2,), count - 1, dtype=torch.int32), ptr_T1=torch.arange(3, dtype=torch.int32))
    grad_MD = torch.full((9, width), float("nan"), dtype=torch.float16)
    launch_grad_features(far_XD, table.inverse(), grad_MD, torch.empty(0, width, dtype=torch.uint8), places)
    assert torch.equal(grad_MD[0], far_XD[-1]) and (grad_MD[1:] == 0).all()
    partial = torch.full((1, 1, width), float("nan"))
    launch_grad_ends(far_XD, table.inverse(), partial, places)
    assert torch.equal(partial[0, 0], far_XD[-1].float())


def test_a_nan_in_a_block_is_its_largest_number(make_table) -> None:
    table = make_table((1, 1, ((0, 0, 3, 3), (1, 1), "none", 0, "max", None)))
    for places, winner in (([0], 0), ([4], 4), ([8], 8), ([2, 5], 5), ([], 3)):
        features_MD = torch.tensor([0.0, 1, 1, 7, 0, 7, 1, 0, 0])[:, None]
        features_MD[places] = float("nan")
        out_TD = torch.zeros(1, 1)
        # the place that torch's max_pool2d gives the gradient to
        assert forward(features_MD, torch.zeros(1, 1), table, out_TD, wants_winners=True).item() == winner
        assert out_TD.isnan().item() == bool(places)
