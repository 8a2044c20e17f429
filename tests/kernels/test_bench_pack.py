"""The benchmark's cases are the planner's, its check refuses what is wrong, and its rows hold what they say."""

import csv
from pathlib import Path

import pytest
import torch

from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.lower import lower
from anyres.plan import plan_image
from kernels.bench import run
from kernels.bench.cases import CASES, NEXT, ONEVISION, POOL_24, POOL_27, ImageCase
from kernels.bench.clock import copy_of, measure
from kernels.bench.embeds import prompts
from kernels.bench.pack import moved_rows
from kernels.bench.peers import eager_merge, transformers_merge
from kernels.bench.rows import timings
from kernels.bench.suite import SUITE, benchmark
from kernels.bench.verify import verify
from kernels.bench.work import Setting, Work
from kernels.pack.reference import pack_reference


@pytest.mark.parametrize(("case", "tokens"), [(NEXT, 15_554), (ONEVISION, 35_761)], ids=["next", "onevision"])
def test_cases_are_what_the_planner_says(case: ImageCase, tokens: int) -> None:
    # transformers reads (height, width) where the planner's lists are read as (width, height)
    layouts = tuple(HW(width // case.tile_px, height // case.tile_px) for height, width in case.layouts_px)
    grid = GridSpec(
        layouts=layouts, target_tiles=case.max_tiles, tie_order="transformers", rounding="transformers", thin="released"
    )
    tile = TileSpec(px=case.tile_px, tok=case.tok)
    table, planned = case.table(), lower([plan_image(HW(*size), grid, tile) for size in case.sizes])
    assert torch.equal(table.segments_SC, planned.segments_SC) and table.num_source == planned.num_source
    assert table.num_tokens == tokens


def test_pooled_frames() -> None:
    assert (POOL_24.table().num_tokens, POOL_27.table().num_tokens) == (32 * 144, 32 * 196)


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_peers_give_the_same_tokens(case) -> None:
    table = case.table()
    features, ends = torch.randn(table.num_source // case.tok**2, case.tok**2, 2), torch.randn(1, 2)
    peers = {"transformers": transformers_merge, "eager": eager_merge}
    calls = {name: (lambda merge=merge: merge(case, features, ends[0])) for name, merge in peers.items()}
    verify(calls, pack_reference(features, ends, table))


def test_a_copy_moves_as_many_rows_as_packing() -> None:
    # 32 frames of 24 x 24 tokens read, 12 x 12 written, whether averaged or the largest taken
    assert moved_rows(POOL_24.table()) == moved_rows(CASES["pool-24-to-12-max"].table()) == 32 * (576 + 144)


def test_verify_refuses() -> None:
    good = torch.ones(5000, 2)
    verify({"same": lambda: good}, good)
    # the last row is in the second piece
    last = torch.zeros(5000, 2).index_fill_(0, torch.tensor(4999), 1e-5)
    with pytest.raises(ValueError, match="off by"):
        verify({"same": lambda: good, "near": lambda: good + last}, good)
    with pytest.raises(ValueError, match="missing is off by nan"):
        verify({"missing": lambda: good.index_fill(0, torch.tensor(4999), float("nan"))}, good)
    with pytest.raises(ValueError, match=r"short gives \(4999, 2\), the reference \(5000, 2\)"):
        verify({"short": lambda: good[1:]}, good)


def test_run_writes_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    threads = torch.get_num_threads()
    options = (
        "--case next-336 --width 2 --dtype float32 --rounds 2 --threads 1 --device cpu --allocator default --write"
    )
    run.main(["pack", *options.split(), str(path)])
    torch.set_num_threads(threads)
    rows = list(csv.DictReader(path.open()))
    names = ("transformers", "eager", "cpu", "copy")
    assert [(row["direction"], row["implementation"]) for row in rows] == [
        (direction, name) for direction in ("forward", "backward") for name in names
    ]
    assert all(float(row["microseconds"]) > 0 and row["shape"] == "20736 -> 15554 tokens" for row in rows)
    assert {row["per_peer"] for row in rows if row["implementation"] == "transformers"} == {"1.0"}
    assert {row["per_copy"] for row in rows if row["implementation"] == "copy"} == {"1.0"}


def test_packing_into_the_inputs_is_timed_too() -> None:
    """Every peer's inputs are checked against the definition before they are timed."""
    setting = Setting(device="cpu", dtype=torch.float32, width=2, cases=("next-336",))
    works = list(benchmark("embeds")(setting))
    found = [row for work in works for row in timings(work, timed(work), "cpu", 0.0)]
    names = ("transformers", "eager", "cpu", "copy")
    assert [(row.direction, row.implementation) for row in found] == [
        (direction, name) for direction in ("into", "embeds", "backward") for name in names
    ]
    # the longest image: 48 rows of 36 tokens and an end vector, an overview of 24 x 24, 64 words
    assert {row.shape for row in found} == {"20736 -> 15554 tokens in 8 x 2416 rows"}
    # end vectors are read from nowhere; of a word in several rows, one reading
    into, looked_up, _ = works
    assert into.moved_bytes == (15_264 + 15_554) * 2 * 4
    ids, visual = prompts([2340, 1948, 2340, 1598, 1656, 2352, 1176, 2144], "cpu")
    assert looked_up.moved_bytes - into.moved_bytes == (3774 + len(set(ids[visual < 0].tolist()))) * 2 * 4


def timed(work: Work) -> dict[str, list[float]]:
    return measure({**work.calls, "copy": copy_of(work.moved_bytes, work.dtype, "cpu")}, "cpu", 2)


def test_an_unknown_kernel_is_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run.main(["unpack"])
    assert "got unpack" in capsys.readouterr().err


@pytest.mark.parametrize("kernel", SUITE)
def test_every_kernel_has_a_benchmark(kernel: str) -> None:
    assert callable(benchmark(kernel))
