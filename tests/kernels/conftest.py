"""Pack tables made by hand, small and odd, and a way to run a test file in a process of its own."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from kernels.pack.columns import END_CODES, REDUCE_CODES
from kernels.pack.table import PackTable

ROOT = Path(__file__).resolve().parents[2]
TOK = 3
MACHINE_CODE = "machine code"


def table_of(*canvases: tuple) -> PackTable:
    """Return the table of canvases (rows, cols, *segments).

    Each segment: crop y x h w, out h w, end, vector, and where given: reduce, closing (an end vector or None).
    """
    rows, counts, src, dst = [], [], 0, 0
    for canvas_rows, canvas_cols, *segments in canvases:
        for crop, out, end, vector, *rest in segments:
            reduce, closing = rest or ("bilinear", None)
            close = 0 if closing is None else closing + 1
            end_code, reduce_code = END_CODES[end], REDUCE_CODES[reduce]
            rows.append([src, canvas_cols, TOK, *crop, *out, end_code, vector, dst, reduce_code, close])
            counts.append(out[0] * out[1] + {"none": 0, "row": out[0], "segment": 1}[end] + (closing is not None))
            dst += counts[-1]
        src += canvas_rows * canvas_cols * TOK * TOK
    return PackTable.of(rows, counts, num_source=src)


OVERVIEW = (1, 1, ((0, 0, 3, 3), (3, 3), "none", 0))
CASES = {
    "empty": (),
    "overview": (OVERVIEW,),
    "overview closed": ((1, 1, ((0, 0, 3, 3), (3, 3), "segment", 0)),),
    "cropped rows": (OVERVIEW, (2, 2, ((1, 0, 4, 6), (4, 6), "row", 0))),
    "cropped columns": (OVERVIEW, (2, 3, ((0, 2, 6, 5), (6, 5), "row", 0))),
    "no column kept": (OVERVIEW, (2, 2, ((0, 3, 6, 0), (6, 0), "row", 0))),
    "no row kept": (OVERVIEW, (2, 2, ((3, 0, 0, 6), (0, 6), "row", 0))),
    "smaller": (OVERVIEW, (2, 2, ((0, 1, 6, 4), (4, 3), "row", 0))),
    "smaller on one axis": ((1, 3, ((0, 0, 3, 9), (3, 4), "row", 0)),),
    "larger": ((1, 1, ((0, 0, 3, 3), (7, 5), "segment", 0)),),
    "one token": ((2, 2, ((0, 0, 6, 6), (1, 1), "row", 0)),),
    "halved frames": tuple((1, 1, ((0, 0, 2, 2), (1, 1), "row", 0)) for _ in range(4)),
    "means of 2x2": ((2, 2, ((0, 0, 6, 6), (3, 3), "row", 0, "average", None)),),
    "means of 3x2, closed twice": ((2, 2, ((0, 1, 6, 4), (2, 2), "segment", 1, "average", 0)),),
    "largest of 2x2": ((1, 1, ((0, 1, 2, 2), (1, 1), "none", 0, "max", None)),),
    "largest of 1x5": ((1, 2, ((1, 1, 2, 5), (2, 1), "row", 0, "max", 1)),),
    "largest of 1": ((1, 1, ((0, 0, 3, 3), (3, 3), "none", 0, "max", None)),),
    "largest of 6x6": ((2, 2, ((0, 0, 6, 6), (1, 1), "none", 0, "max", None)),),
    "a block in three ways": (
        (
            2,
            2,
            ((0, 0, 6, 6), (3, 2), "row", 0, "max", 1),
            ((0, 0, 6, 6), (2, 3), "none", 0, "max", None),
            ((0, 0, 6, 6), (2, 2), "segment", 1, "average", 0),
            ((0, 0, 6, 6), (4, 4), "none", 0),
        ),
    ),
    "slow and fast frames": (
        (1, 1, ((0, 0, 3, 3), (3, 3), "row", 0, "bilinear", 1)),
        (1, 1, ((0, 0, 3, 3), (2, 2), "row", 0, "bilinear", 1)),
        (1, 1, ((0, 0, 2, 2), (1, 1), "row", 0, "average", 1)),
    ),
    "no column kept, closed": ((2, 2, ((0, 3, 6, 0), (6, 0), "row", 0, "bilinear", 1)),),
    "nothing but a closing vector": ((2, 2, ((3, 3, 0, 0), (0, 0), "none", 0, "bilinear", 1)),),
    "a canvas read twice": ((1, 2, ((0, 0, 3, 6), (3, 6), "row", 0), ((0, 1, 3, 4), (2, 2), "segment", 1)),),
}
CASES["all at once"] = tuple(canvas for case in CASES.values() for canvas in case)


def random_table(seed: int) -> PackTable:
    rng = random.Random(seed)
    canvases = []
    for _ in range(rng.randint(1, 5)):
        rows, cols = rng.randint(1, 3), rng.randint(1, 3)
        segments = []
        for _ in range(rng.randint(0, 3)):
            h, w = rng.randint(1, rows * TOK), rng.randint(1, cols * TOK)
            y, x = rng.randint(0, rows * TOK - h), rng.randint(0, cols * TOK - w)
            out = (h, w) if rng.random() < 0.4 else (rng.randint(1, 8), rng.randint(1, 8))
            reduce, closing = rng.choice(list(REDUCE_CODES)), rng.choice((None, 0, 1))
            if reduce != "bilinear":
                out = tuple(rng.choice([n for n in range(1, size + 1) if size % n == 0]) for size in (h, w))
            segments.append(((y, x, h, w), out, rng.choice(list(END_CODES)), rng.randint(0, 1), reduce, closing))
        canvases.append((rows, cols, *segments))
    return table_of(*canvases)


@pytest.fixture(params=[*CASES, *range(6)], ids=str)
def table(request: pytest.FixtureRequest) -> PackTable:
    """A table made by hand, or a random one."""
    return table_of(*CASES[request.param]) if isinstance(request.param, str) else random_table(request.param)


@pytest.fixture(scope="session")
def everything() -> PackTable:
    """One table that holds all cases."""
    return table_of(*CASES["all at once"])


@pytest.fixture(scope="session")
def make_table() -> Callable[..., PackTable]:
    return table_of


@pytest.fixture
def run_apart(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[Sequence[Path], Mapping[str, str]], None]:
    """Run test files in a process of their own, with an environment, and fail with its output when one fails.

    Lines that it prints about registers come back in the summary at the end. Compiled code is kept for the next run, by
    what it was compiled of.
    """
    keeps = request.config.pluginmanager.hasplugin("cacheprovider")
    compiled = request.config.cache.mkdir("triton") if keeps else tmp_path

    def run(files: Sequence[Path], environment: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRITON_", "PYTEST_"))}
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
        environment = {**kept, "OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": str(compiled), **environment}
        done = subprocess.run(
            [*command, *map(str, files)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        lines = [line.lstrip(".") for line in done.stdout.splitlines() if " registers, " in line]
        # what a test process reports to the one that prints
        request.node.user_properties += [(MACHINE_CODE, line) for line in lines]

    return run


@pytest.fixture
def as_launched() -> None:
    """Let kernels run with the programs that a GPU is given."""


@pytest.fixture
def tall_programs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give programs more rows than a GPU's, since the interpreter takes its time by the program, however large."""
    if "as_launched" in request.fixturenames:
        return
    # not every machine has triton, which this imports
    from kernels.pack.launch import tile_shape

    def tall(width: int, itemsize: int, blocks: bool = False) -> tuple[int, int, int]:
        rows, block, warps = tile_shape(width, itemsize, blocks=blocks)
        return max(rows, 4096 // block), block, warps

    for kernel in ("pack", "threshold"):
        monkeypatch.setattr(f"kernels.{kernel}.launch.tile_shape", tall)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the kernels' machine code takes, a line per kernel, dtype, width and target."""
    reports = terminalreporter.stats.get("passed", [])
    lines = [value for report in reports for name, value in report.user_properties if name == MACHINE_CODE]
    if lines:
        terminalreporter.section("machine code of the kernels")
    for line in lines:
        terminalreporter.write_line(line)
