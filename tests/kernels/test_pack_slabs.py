"""Copies as slabs: the same tokens as one by one, whole and cut by a prompt, and none where they would be small."""

import numpy as np
import pytest
import torch

from kernels.bench.cases import NEXT
from kernels.pack import cpu, slabs
from kernels.pack.gather import gather_map
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable


@pytest.fixture
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabs, "TOKENS_OF_A_SLAB", 1)
    monkeypatch.setattr(slabs, "ENDS_OF_A_SLAB", 1)


@pytest.mark.usefixtures("small_slabs")
def test_every_table_by_slabs(table: PackTable) -> None:
    features = torch.randn(table.num_source // 9, 9, 5, generator=torch.Generator().manual_seed(0))
    ends = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
    expected = pack_reference(features, ends, table)
    gather = gather_map(table.host_SC, table.host_T)
    out = torch.full_like(expected, float("nan"))
    cpu.pack_into(out, None, features.flatten(0, 1), ends, gather)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)
    # token t in row 2 + t, cut in the middle: what lies before, and after, is text
    cut = table.num_tokens // 2
    visual = torch.full((table.num_tokens + 5,), -1)
    visual[2 : 2 + cut], visual[3 + cut : 3 + table.num_tokens] = torch.arange(cut), torch.arange(cut, table.num_tokens)
    rows = torch.zeros(len(visual), 5)
    cpu.pack_into(rows, visual, features.flatten(0, 1), ends, gather)
    torch.testing.assert_close(rows[visual >= 0], expected, rtol=0, atol=1e-6)
    assert not rows[visual < 0].any()


@pytest.mark.usefixtures("small_slabs")
def test_end_vectors_by_slabs_are_those_one_by_one(table: PackTable) -> None:
    gather = gather_map(table.host_SC, table.host_T)
    found = sorted(
        (dst + run * dst_step, vector)
        for dst, vector, runs, length, dst_step, src_step in slabs.end_slabs(table.host_SC).tolist()
        for run in range(runs)
        if (length, src_step) == (1, 0)
    )
    assert found == list(zip(gather.end_row_E.tolist(), gather.end_vec_E.tolist(), strict=True))


def test_end_vectors_of_rows_are_one_slab_and_single_ones_none() -> None:
    # the crops' heights; behind a row of 48 and its end vector the next
    found_W6 = slabs.end_slabs(NEXT.table().host_SC)
    assert found_W6[:, 2].tolist() == [36, 28, 36, 14, 72, 48, 24, 32]
    assert found_W6[0].tolist() == [576 + 48, 0, 36, 1, 49, 0]
    closed = [[f * 4, 1, 2, 0, 0, 2, 2, 2, 2, 2, 0, f * 5, 0, 0] for f in range(50)]
    assert slabs.end_slabs(np.array(closed)).tolist() == []


def test_slabs_within_a_run() -> None:
    # two tiles side by side, 3 rows of 2 + 2 tokens and an end vector, then a run of 5
    found = slabs.Slabs(torch.tensor([[0, 0, 3, 2, 5, 2], [2, 6, 3, 2, 5, 2], [15, 12, 1, 5, 0, 0]]))
    assert [slab[0] for slab in found.within(0, 20)] == [0, 2, 15]
    assert [slab[0] for slab in found.within(15, 20)] == [15]
    assert [slab[0] for slab in found.within(0, 15)] == [0, 2]
    assert found.within(20, 30) == []
    # cut in front, behind, in the middle
    for start, stop in ((1, 20), (0, 19), (13, 20), (5, 10)):
        assert found.within(start, stop) is None
    assert slabs.Slabs(torch.empty(0, 6, dtype=torch.int64)).within(0, 9) is None


def test_a_tile_is_a_slab_and_runs_on_are_one() -> None:
    table = NEXT.table()
    found_W6 = slabs.slabs(table.host_SC, np.ones(len(table.host_SC), dtype=bool))
    # an overview is one run; of each tile, the rows that the crop leaves
    assert found_W6[0].tolist() == [0, 0, 1, 576, 0, 0]
    assert found_W6[1].tolist() == [576, 576 + 6 * 24, 18, 24, 49, 24]
    tokens = (found_W6[:, 2] * found_W6[:, 3]).sum()
    assert tokens == table.num_tokens - len(table.gather().end_row_E)
    clip = [[f * 4, 1, 2, 0, 0, 2, 2, 2, 2, 0, 0, f * 4, 0, 0] for f in range(50)]
    assert slabs.slabs(np.array(clip), np.ones(50, dtype=bool)).tolist() == []
    copies = PackTable.copies(1000)
    assert slabs.slabs(copies.host_SC, np.ones(1, dtype=bool)).tolist() == [[0, 0, 1, 1000, 0, 0]]
