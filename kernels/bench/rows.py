"""The rows of results.csv."""

import csv
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

import torch

from kernels.bench.clock import ratio
from kernels.bench.work import Work

# what makes glibc reuse large blocks, which by default it takes from the system, page by page, for every output
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "64000000000", "MALLOC_TOP_PAD_": "268435456"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One implementation's times on one piece of work.

    allocator: "kept" where glibc reuses large blocks, else "default". load: processes that waited for a core just
    before. microseconds: median and quartiles over rounds. per_copy: median of the round-by-round ratios to a copy of
    the least bytes that the work moves, the floor; per_peer the same to the peer. gb_per_s: those bytes over the
    median; copy_gb_per_s: the copy's; of_copy: the share of the copy's bandwidth that is reached, 1 / per_copy.
    """

    device: str
    threads: int
    allocator: str
    load: float
    torch: str
    kernel: str
    case: str
    direction: str
    width: int
    dtype: str
    shape: str
    implementation: str
    rounds: int
    microseconds: float
    quartile_1: float
    quartile_3: float
    per_copy: float
    peer: str
    per_peer: float
    gb_per_s: float
    copy_gb_per_s: float
    of_copy: float


def timings(work: Work, seconds: dict[str, list[float]], device: str, load: float) -> list[Timing]:
    """Return one row per implementation, the copy last."""
    rows = []
    for name, mine in seconds.items():
        per_copy = ratio(mine, seconds["copy"])
        first, _, third = statistics.quantiles(mine, n=4, method="inclusive")
        rows.append(
            Timing(
                device=device_name(device),
                threads=torch.get_num_threads(),
                allocator="kept" if os.environ.get("MALLOC_MMAP_MAX_") == "0" else "default",
                load=round(load, 1),
                torch=_versions(device),
                kernel=work.kernel,
                case=work.case,
                direction=work.direction,
                width=work.width,
                dtype=str(work.dtype).removeprefix("torch."),
                shape=work.shape,
                implementation=name,
                rounds=len(mine),
                microseconds=round(statistics.median(mine) * 1e6, 1),
                quartile_1=round(first * 1e6, 1),
                quartile_3=round(third * 1e6, 1),
                per_copy=round(per_copy, 4),
                peer=work.peer,
                per_peer=round(ratio(mine, seconds[work.peer]), 4),
                gb_per_s=round(work.moved_bytes / statistics.median(mine) / 1e9, 2),
                copy_gb_per_s=round(work.moved_bytes / statistics.median(seconds["copy"]) / 1e9, 2),
                of_copy=round(1 / per_copy, 4),
            )
        )
    return rows


def describe(row: Timing) -> str:
    """Return one row as a line for a terminal."""
    what = f"{row.kernel} {row.case} {row.direction} D={row.width} {row.dtype}"
    times = f"{row.microseconds / 1e3:9.3f} ms [{row.quartile_1 / 1e3:.3f}, {row.quartile_3 / 1e3:.3f}]"
    copy = f"{row.per_copy:7.2f} x copy ({row.of_copy:4.0%})"
    return f"{what:<50} {row.implementation:<14}{times:<34} {copy} {row.per_peer:7.3f} x {row.peer}"


def write(path: Path, rows: Sequence[Timing]) -> None:
    """Add rows to a CSV, which gets its header with its first rows."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Timing)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _versions(device: str) -> str:
    if device != "cuda":
        return torch.__version__
    return f"{torch.__version__}, triton {version('triton')}"


def device_name(kind: str) -> str:
    """Return the processor's name, as its maker gives it."""
    if kind == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()} ({torch.backends.cpu.get_cpu_capability()})"
