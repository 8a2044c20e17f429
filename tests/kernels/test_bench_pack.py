"""The benchmark's cases are the planner's, its check refuses what is wrong, and its rows hold what they say."""

import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo import config as dynamo_config
from torch._functorch import config as functorch_config
from torch.utils._python_dispatch import TorchDispatchMode

import kernels.pack.cpu
from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.lower import lower
from anyres.plan import plan_image
from kernels.bench import run
from kernels.bench.cases import CASES, NEXT, ONEVISION, POOL_24, POOL_27, ImageCase
from kernels.bench.clock import FLUSHES, copy_of, flush, measure
from kernels.bench.embeds import prompts
from kernels.bench.pack import moved_rows
from kernels.bench.peers import eager_merge, transformers_merge
from kernels.bench.rows import timings
from kernels.bench.suite import SUITE, benchmark
from kernels.bench.verify import checked
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
    kept, left_out = checked(calls, pack_reference(features, ends, table))
    assert (list(kept), left_out) == (["transformers", "eager"], ())


def test_a_copy_moves_as_many_rows_as_packing() -> None:
    # 32 frames of 24 x 24 tokens read, 12 x 12 written, whether averaged or the largest taken
    assert moved_rows(POOL_24.table()) == moved_rows(CASES["pool-24-to-12-max"].table()) == 32 * (576 + 144)


def test_what_differs_is_refused() -> None:
    good = torch.ones(5000, 2)
    checked({"same": lambda: good}, good)
    # the last row is in the second piece
    last = torch.zeros(5000, 2).index_fill_(0, torch.tensor(4999), 1e-5)
    with pytest.raises(ValueError, match="off by"):
        checked({"same": lambda: good, "near": lambda: good + last}, good)
    with pytest.raises(ValueError, match="missing is off by nan"):
        checked({"missing": lambda: good.index_fill(0, torch.tensor(4999), float("nan"))}, good)
    with pytest.raises(ValueError, match=r"short gives \(4999, 2\), the reference \(5000, 2\)"):
        checked({"short": lambda: good[1:]}, good)


def test_a_peer_that_fails_or_differs_is_left_out() -> None:
    good = torch.ones(3, 2)

    def fails() -> Tensor:
        raise TypeError("no such kernel")

    calls = {"compiled": fails, "eager": lambda: good + 1, "transformers": lambda: good, "triton": lambda: good}
    kept, left_out = checked(calls, good)
    assert list(kept) == ["transformers", "triton"]
    assert left_out == ("compiled fails: TypeError: no such kernel", "eager is off by 1 more than allowed")
    # this project's own is not
    with pytest.raises(TypeError, match="no such kernel"):
        checked({"triton": fails}, good)


def test_without_its_peer_a_kernel_is_compared_with_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("kernels.bench.pack.transformers_merge", lambda case, features, newline: features[:1])
    path, threads = tmp_path / "results.csv", torch.get_num_threads()
    options = "--case next-336 --width 2 --dtype float32 --rounds 2 --threads 1 --device cpu --allocator default"
    with pytest.raises(SystemExit, match="transformers gives"):
        run.main(["pack", *options.split(), "--write", str(path)])
    torch.set_num_threads(threads)
    assert "pack next-336 forward: transformers gives (1, 576, 2)" in capsys.readouterr().err
    rows = list(csv.DictReader(path.open()))
    assert [row["implementation"] for row in rows] == ["eager", "cpu", "copy"] * 2
    assert {row["peer"] for row in rows} == {"copy"}


def test_a_wrong_gradient_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels.pack.cpu.pack_grad_features
    monkeypatch.setattr("kernels.pack.cpu.pack_grad_features", lambda *given: right(*given) * 1.01)
    works = benchmark("pack")(Setting(device="cpu", dtype=torch.float32, width=2, cases=("next-336",)))
    assert next(works).direction == "forward"
    with pytest.raises(ValueError, match="cpu is off by"):
        next(works)


def test_caches_are_flushed_by_reading_last() -> None:
    """What is written last lies in a cache and goes to memory at the expense of what is timed next."""

    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, given=(), named=None):
            seen.append(function.overloadpacket.__name__)
            return function(*given, **(named or {}))

    seen: list[str] = []
    with Operators():
        flush("cpu", 64)
    assert seen == ["empty", *["zero_"] * FLUSHES, "amax"]


def test_compiled_peers_are_compiled_for_every_case() -> None:
    """More variants of one function than torch compiles by default; beyond those it would run them as they are."""
    graphs: list[object] = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    # both put back what the settings were
    with dynamo_config.patch(recompile_limit=8), functorch_config.patch(donated_buffer=True):
        limits = dynamo_config.accumulated_recompile_limit, dynamo_config.fail_on_recompile_limit_hit
        run.compiled_peers()
        for factor in range(12):
            peer = torch.compile(lambda x, factor=factor: x * factor, dynamic=False, backend=backend)
            assert peer(torch.ones(2)).tolist() == [factor] * 2
        dynamo_config.accumulated_recompile_limit, dynamo_config.fail_on_recompile_limit_hit = limits
    assert len(graphs) == 12
    torch._dynamo.reset()


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
