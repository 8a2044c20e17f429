"""Time image files to normalised tiles: this project's three pixel modes, its peers and the floor, taking turns.

    python -m anyres.bench.preprocess                        # every case, into anyres/bench/preprocess.csv
    python -m anyres.bench.preprocess --case next-640x480 --rounds 15 --write none
    python -m anyres.bench.preprocess --workers 2            # files a second, in this process and in workers
    python -m anyres.bench.preprocess --clock cpu            # processor seconds, which other processes do not stretch

Pictures are made here, alike on every machine. Every implementation is checked before it is timed: "exact" and the
peers that use PIL give the same bits, "fast" is at most 2 grey levels away. "floor" decodes, resizes twice with torch
and fills the output once, and nothing else; it and this project's modes write into memory that is kept. Only ratios
carry to other machines.
"""

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anyres.bench.preprocess_peers import floor, official, transformers_pil, transformers_torchvision
from anyres.compiled import COMPILED
from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.pixels import RGB, normalise
from anyres.tiles import TileMaker
from kernels.bench.clock import measure, ratio
from kernels.bench.rows import device_name

RESULTS = Path(__file__).parent / "preprocess.csv"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
MODES = ("exact", "fast", "draft")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How a release cuts images: its grid in the order that transformers reads, its tile and its colours."""

    name: str
    grid: GridSpec
    tile: TileSpec
    mean: RGB
    std: RGB

    def maker(self, mode: str) -> TileMaker:
        """Return this project's way from a file to tiles."""
        return TileMaker.of(self.grid, self.tile, self.mean, mode)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One picture under one preset. form: "jpg" (quality 90, 4:2:0) or "png"."""

    preset: Preset
    size: HW
    form: str = "jpg"

    @property
    def name(self) -> str:
        """Return the case's name on the command line."""
        return f"{self.preset.name}-{self.size.w}x{self.size.h}" + ("-png" if self.form == "png" else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One implementation's time for one file.

    milliseconds: median and quartiles over rounds; per_official, per_floor: medians of the round-by-round ratios.
    levels: the largest and the mean distance from PIL's pixels, in 8-bit grey levels. load: processes that waited for a
    core just before. clock: "wall", or "cpu" for processor seconds.
    """

    device: str
    clock: str
    threads: int
    load: float
    torch: str
    pillow: str
    transformers: str
    case: str
    tiles: int
    implementation: str
    rounds: int
    milliseconds: float
    quartile_1: float
    quartile_3: float
    per_official: float
    per_floor: float
    levels_max: float
    levels_mean: float


def cases() -> list[Case]:
    """Return the pictures and presets that are timed."""
    layouts = tuple(HW(*layout) for layout in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3)))
    order = {"tie_order": "transformers", "rounding": "transformers"}
    next_336 = Preset(
        name="next",
        grid=GridSpec(layouts=layouts, **order),
        tile=TileSpec.of(336, 14),
        mean=CLIP_MEAN,
        std=CLIP_STD,
    )
    six = tuple(HW(rows, cols) for rows in range(1, 7) for cols in range(1, 7))
    onevision = Preset(
        name="onevision", grid=GridSpec(layouts=six, **order), tile=TileSpec.of(384, 14), mean=HALF, std=HALF
    )
    return [
        Case(preset=next_336, size=HW(480, 640)),
        Case(preset=next_336, size=HW(1147, 1920)),
        Case(preset=next_336, size=HW(3000, 4000)),
        Case(preset=next_336, size=HW(2311, 3268), form="png"),
        Case(preset=onevision, size=HW(667, 1000)),
        Case(preset=onevision, size=HW(3000, 4000)),
    ]


def run(case: Case, rounds: int, threads: int, clock: str = "wall") -> list[Timing]:
    """Return a row for each implementation of one case, checked first. clock: one of CLOCKS."""
    import transformers

    torch.set_num_threads(threads)
    # as after the first pictures of a long run
    COMPILED.load()
    with tempfile.TemporaryDirectory() as folder:
        calls = implementations(case, picture(case, Path(folder)))
        off = dict(check(case, calls))
        load = os.getloadavg()[0]
        seconds = measure(calls, "cpu", rounds, clock=CLOCKS[clock])
        tiles = len(calls["exact"]())
    rows = []
    for name, mine in seconds.items():
        first, _, third = statistics.quantiles(mine, n=4, method="inclusive")
        rows.append(
            Timing(
                device=device_name("cpu"),
                clock=clock,
                threads=threads,
                load=round(load, 1),
                torch=torch.__version__,
                pillow=Image.__version__,
                transformers=transformers.__version__,
                case=case.name,
                tiles=tiles,
                implementation=name,
                rounds=rounds,
                milliseconds=round(statistics.median(mine) * 1e3, 3),
                quartile_1=round(first * 1e3, 3),
                quartile_3=round(third * 1e3, 3),
                per_official=round(ratio(mine, seconds["official"]), 4),
                per_floor=round(ratio(mine, seconds["floor"]), 4),
                levels_max=round(off[name][0], 2),
                levels_mean=round(off[name][1], 5),
            )
        )
    return rows


def implementations(case: Case, path: Path) -> dict[str, Callable[[], Tensor]]:
    """Return what makes [N, 3, px, px] float32 of a file, by name; the floor writes no pixels into it."""
    preset = case.preset
    layouts_px = [layout.times(preset.tile.px) for layout in preset.grid.layouts]
    theirs = (preset.tile.px, layouts_px, preset.mean, preset.std)
    makers = {mode: preset.maker(mode) for mode in MODES}
    plan = makers["exact"].plan(case.size)
    kept_NCHW = torch.empty(plan.num_tiles, 3, preset.tile.px, preset.tile.px)
    ours = {
        mode: lambda maker=maker: normalise(maker.make(path)[1], preset.mean, preset.std, out_NCHW=kept_NCHW)
        for mode, maker in makers.items()
    }
    return {
        "official": official(path, plan, preset.mean, preset.std),
        "transformers-pil": transformers_pil(path, *theirs),
        "transformers-torchvision": transformers_torchvision(path, *theirs),
        **ours,
        "floor": floor(path, plan),
    }


def check(case: Case, calls: dict[str, Callable[[], Tensor]]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield each implementation's largest and mean distance from PIL's pixels; ValueError where one is wrong."""
    right_NCHW = calls["official"]()
    levels_C11 = torch.tensor(case.preset.std).view(3, 1, 1) * 255
    for name, call in calls.items():
        if name == "floor":
            yield name, (float("nan"), float("nan"))
            continue
        found_NCHW = call()
        if found_NCHW.shape != right_NCHW.shape or found_NCHW.dtype != torch.float32:
            raise ValueError(f"{case.name}, {name}: {found_NCHW.dtype} {list(found_NCHW.shape)}")
        if name in ("exact", "transformers-pil") and not torch.equal(found_NCHW, right_NCHW):
            raise ValueError(f"{case.name}, {name}: not the bits of PIL")
        off_NCHW = (found_NCHW - right_NCHW).abs() * levels_C11
        # half a level of rounding room
        if name == "fast" and off_NCHW.max() > 2.5:
            raise ValueError(f"{case.name}, {name}: {off_NCHW.max():.1f} grey levels from PIL")
        yield name, (float(off_NCHW.max()), float(off_NCHW.mean()))


def picture(case: Case, folder: Path) -> Path:
    """Write a case's picture: soft shapes, with a sensor's noise in a JPEG and sharp lines in a PNG."""
    draw = np.random.default_rng(0)
    shapes = Image.fromarray(draw.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    size = case.size
    soft_HW3 = np.asarray(shapes.resize((size.w, size.h), Image.Resampling.BICUBIC)).astype(np.float32)
    path = folder / f"{case.name}.{case.form}"
    if case.form == "png":
        soft_HW3[:: size.h // 40] = soft_HW3[:, :: size.w // 60] = 0
        Image.fromarray(soft_HW3.astype(np.uint8)).save(path)
        return path
    noisy_HW3 = soft_HW3 + draw.normal(0, 5, (size.h, size.w, 1)).astype(np.float32)
    Image.fromarray(noisy_HW3.clip(0, 255).astype(np.uint8)).save(path, quality=90, subsampling=2)
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Time what is asked for, print it, and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in cases()]
    parser.add_argument("--case", nargs="+", default=names, choices=names)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="compare so many processes with one instead")
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--write", default=str(RESULTS), help="a CSV to add rows to, or none")
    arguments = parser.parse_args(argv)
    # it needs the cases of this module
    from anyres.bench.preprocess_workers import most, rate

    for case in [case for case in cases() if case.name in arguments.case]:
        if arguments.workers:
            for mode in MODES:
                find = rate if arguments.clock == "wall" else most
                gains = find(case, mode, arguments.workers, arguments.files, arguments.rounds)
                shown = f"{statistics.median(gains):.2f} x one process [{min(gains):.2f}, {max(gains):.2f}]"
                print(f"{case.name:<28} {mode:<6} {arguments.workers} workers: {shown}", flush=True)
            continue
        rows = run(case, arguments.rounds, arguments.threads, arguments.clock)
        for row in rows:
            print(described(row), flush=True)
        if arguments.write != "none":
            write(Path(arguments.write), rows)


def described(row: Timing) -> str:
    """Return one row as a line for a terminal."""
    times = f"{row.milliseconds:8.2f} ms [{row.quartile_1:.2f}, {row.quartile_3:.2f}]"
    ratios = f"official / this {1 / row.per_official:5.2f}   this / floor {row.per_floor:5.2f}"
    levels = "" if row.implementation == "floor" else f"   levels {row.levels_max:.0f} / {row.levels_mean:.4f}"
    return f"{row.case:<22} {row.implementation:<26} {times:<34} {ratios}{levels}"


def write(path: Path, rows: Sequence[Timing]) -> None:
    """Add rows to a CSV, which gets its header with its first rows."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Timing)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
