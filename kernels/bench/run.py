"""Time packing: the reference, the path for the device at hand, transformers, and a plain copy of as many bytes.

    python -m kernels.bench.run --case next-336 --width 4096 --dtype bfloat16 --write kernels/bench/results.csv

The implementations take turns within each round, and ratios are taken round by round. Only ratios carry to other
machines.
"""

import argparse
import csv
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from kernels.bench.cases import CASES, ClipCase, ImageCase
from kernels.bench.peers import transformers_merge
from kernels.bench.verify import verify
from kernels.pack.op import pack
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One implementation's times on one case, as a row of the CSV.

    allocator: "kept" where MALLOC_MMAP_MAX_=0 makes glibc reuse large blocks, which by default it takes from the
    system, page by page, for every output. milliseconds: median and quartiles over rounds. per_copy, per_transformers:
    median of the round-by-round ratios of its time to those of a copy of the same bytes and of transformers.
    """

    device: str
    threads: int
    allocator: str
    torch: str
    case: str
    direction: str
    width: int
    dtype: str
    source_tokens: int
    packed_tokens: int
    implementation: str
    rounds: int
    milliseconds: float
    quartile_1: float
    quartile_3: float
    per_copy: float
    per_transformers: float


def main() -> None:
    """Time the cases asked for, print them, and write them as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--width", nargs="+", type=int, default=[4096, 896])
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16", "float16"), default=["bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--write", type=Path, help="a CSV to add rows to")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error(f"--rounds: expected at least 2, got {arguments.rounds}")
    torch.set_num_threads(arguments.threads)
    for name in arguments.case:
        for width in arguments.width:
            for dtype in arguments.dtype:
                new = time_case(CASES[name], width, dtype, arguments.device, arguments.rounds)
                print("\n".join(describe(timing) for timing in new), flush=True)
                if arguments.write:
                    append(arguments.write, new)


def append(path: Path, timings: list[Timing]) -> None:
    """Add rows to a CSV, which gets its header with its first rows."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Timing)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(timing) for timing in timings)


def time_case(case: ImageCase | ClipCase, width: int, dtype: str, device: str, rounds: int) -> list[Timing]:
    """Return the timings of one case, forward and backward, after checking every implementation on it."""
    generator = torch.Generator().manual_seed(0)
    table = case.table().prepare(backward=True).to(device)
    exact = {"generator": generator, "dtype": torch.float32}
    features = torch.randn(table.num_source // case.tok**2, case.tok**2, width, **exact).to(
        device, getattr(torch, dtype)
    )
    ends = torch.randn(1, width, **exact).to(device, features.dtype)
    packers: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "transformers": lambda f, e: transformers_merge(case, f, e[0]),
        "reference": lambda f, e: pack_reference(f, e, table),
        "triton" if device == "cuda" else "cpu": lambda f, e: pack(f, e, table),
    }
    with torch.no_grad():
        calls = {name: (lambda packer=packer: packer(features, ends)) for name, packer in packers.items()}
        verify(calls, pack_reference(features, ends, table))
        calls["copy"] = copy_of(moved_rows(table), width, features)
        found = [("forward", measure(calls, device, rounds))]
    if table.num_ends:
        del packers["reference"]
        found.append(("backward", measure_backward(packers, features, ends, table, device, rounds)))
    return [
        timing_of(case, direction, width, dtype, table, name, seconds)
        for direction, seconds in found
        for name in seconds
    ]


def measure_backward(
    packers: dict[str, Callable[[Tensor, Tensor], Tensor]],
    features: Tensor,
    ends: Tensor,
    table: PackTable,
    device: str,
    rounds: int,
) -> dict[str, list[float]]:
    """Return the seconds of each packer's backward, features and ends, by name."""
    inputs = (features.detach().requires_grad_(), ends.detach().requires_grad_())
    grad = torch.randn(table.num_tokens, features.shape[-1], dtype=features.dtype, device=features.device)
    calls = {}
    for name, packer in packers.items():
        packed = packer(*inputs)
        calls[name] = lambda packed=packed: torch.autograd.grad(packed, inputs, grad, retain_graph=True)
    # every source token's gradient is written
    rows = (table.num_tokens + table.num_source) // 2
    calls["copy"] = copy_of(rows, features.shape[-1], features)
    return measure(calls, device, rounds)


def moved_rows(table: PackTable) -> int:
    """Return half the rows to be moved: each source token in use read once, each packed token written once."""
    gather = table.gather()
    read = torch.cat([gather.taps.index_X, gather.peaks_ZB[gather.peaks_ZB >= 0]]).unique()
    return (len(read) + table.num_tokens) // 2


def copy_of(rows: int, width: int, like: Tensor) -> Callable[[], Tensor]:
    """Return a function that reads `rows` rows and writes as many, into memory that it already has."""
    source, target = torch.ones(rows, width).to(like), torch.zeros(rows, width).to(like)
    return lambda: target.copy_(source)


def measure(calls: dict[str, Callable[[], object]], device: str, rounds: int) -> dict[str, list[float]]:
    """Return each call's seconds by name, one per round, the order rotating from round to round; one round warms up."""
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            took = time_once(calls[name], device)
            if turn:
                seconds[name].append(took)
    return seconds


def time_once(call: Callable[[], object], device: str) -> float:
    """Return the seconds of one call; on a GPU between events, with its cache overwritten before."""
    if device != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    torch.empty(256 * 2**20, dtype=torch.int8, device=device).zero_()
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    call()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1e3


def timing_of(
    case: ImageCase | ClipCase,
    direction: str,
    width: int,
    dtype: str,
    table: PackTable,
    name: str,
    seconds: dict[str, list[float]],
) -> Timing:
    """Return one implementation's row."""
    first, _, third = statistics.quantiles(seconds[name], n=4, method="inclusive")
    return Timing(
        device=device_name(table.device.type),
        threads=torch.get_num_threads(),
        allocator="kept" if os.environ.get("MALLOC_MMAP_MAX_") == "0" else "default",
        torch=torch.__version__,
        case=case.name,
        direction=direction,
        width=width,
        dtype=dtype,
        source_tokens=table.num_source,
        packed_tokens=table.num_tokens,
        implementation=name,
        rounds=len(seconds[name]),
        milliseconds=round(statistics.median(seconds[name]) * 1e3, 3),
        quartile_1=round(first * 1e3, 3),
        quartile_3=round(third * 1e3, 3),
        per_copy=ratio(seconds[name], seconds["copy"]),
        per_transformers=ratio(seconds[name], seconds["transformers"]),
    )


def ratio(mine: list[float], theirs: list[float]) -> float:
    """Return the median of the round-by-round ratios of two implementations' times."""
    return round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 4)


def device_name(kind: str) -> str:
    """Return the processor's name, as its maker gives it."""
    if kind == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()} ({torch.backends.cpu.get_cpu_capability()})"


def describe(timing: Timing) -> str:
    """Return one row as a line for a terminal."""
    what = f"{timing.case} {timing.direction} D={timing.width} {timing.dtype}"
    times = f"{timing.milliseconds:9.2f} ms [{timing.quartile_1:.2f}, {timing.quartile_3:.2f}]"
    ratios = f"{timing.per_copy:7.2f} x copy {timing.per_transformers:7.3f} x transformers"
    return f"{what:<50} {timing.implementation:<13}{times:<34} {ratios}"


if __name__ == "__main__":
    main()
