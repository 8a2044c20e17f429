"""Time the kernels against their peers and a plain copy of as many bytes; print the rows and write them.

    python -m kernels.bench.run               # every kernel at the usual shapes, into kernels/bench/results.csv
    python -m kernels.bench.run pack --case next-336 --width 896 --dtype float32 --write none

Every implementation is checked before it is timed. Implementations take turns within each round, and ratios are taken
round by round. Only ratios carry to other machines.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from kernels.bench.clock import copy_of, measure
from kernels.bench.rows import KEPT, describe, timings, write
from kernels.bench.suite import SUITE, benchmark
from kernels.bench.work import Setting

RESULTS = Path(__file__).parent / "results.csv"


def main(argv: Sequence[str] | None = None) -> None:
    """Time what is asked for, print it, and write it as CSV."""
    arguments = parsed(argv)
    torch.set_num_threads(arguments.threads)
    if arguments.device == "cuda":
        compiled_peers()
    wrong: list[str] = []
    for kernel in arguments.kernel or SUITE:
        for width in arguments.width:
            for dtype in arguments.dtype:
                setting = Setting(
                    device=arguments.device, dtype=getattr(torch, dtype), width=width, cases=tuple(arguments.case)
                )
                try:
                    wrong += time_kernel(kernel, setting, arguments.rounds, arguments.write)
                # one kernel does not keep the others from being timed, on a machine that it may not have seen
                except Exception as error:
                    traceback.print_exc()
                    wrong.append(f"{kernel} D={width} {dtype}: {type(error).__name__}: {error}")
    if wrong:
        sys.exit("\n".join(["not timed:", *wrong]))


def compiled_peers() -> None:
    """Set what torch.compile needs for peers that are many variants of the same few functions."""
    from torch._dynamo import config as dynamo_config
    from torch._functorch import config as functorch_config

    # gradients are taken from one graph again and again, which compiled code refuses where it gives that memory away
    functorch_config.donated_buffer = False
    # beyond 8 variants of a function torch runs it uncompiled, and says so in a warning only
    dynamo_config.recompile_limit = dynamo_config.accumulated_recompile_limit = 1024
    dynamo_config.fail_on_recompile_limit_hit = True


def time_kernel(kernel: str, setting: Setting, rounds: int, path: Path | None) -> list[str]:
    """Print a kernel's rows in one setting and write them, as they come; return why peers were left out."""
    left_out: list[str] = []
    for work in benchmark(kernel)(setting):
        load = os.getloadavg()[0]
        new_left_out = [f"{kernel} {work.case} {work.direction}: {problem}" for problem in work.left_out]
        print("\n".join(new_left_out), end="\n" if new_left_out else "", file=sys.stderr, flush=True)
        left_out += new_left_out
        work = work if work.peer in work.calls else replace(work, peer="copy")
        calls = {**work.calls, "copy": copy_of(work.moved_bytes, work.dtype, setting.device)}
        new = timings(work, measure(calls, setting.device, rounds), setting.device, load)
        print("\n".join(map(describe, new)), flush=True)
        if path is not None:
            write(path, new)
    return left_out


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; starts this program anew where the allocator has to be told before it starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", nargs="*", help=f"of {', '.join(SUITE)}; all if none is given")
    parser.add_argument("--case", nargs="+", default=[], help="names of cases; all if none is given")
    parser.add_argument("--width", nargs="+", type=int, default=[4096])
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16", "float16"), default=["bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--allocator", choices=("kept", "default"), default="kept")
    parser.add_argument("--write", default=str(RESULTS), help="a CSV to add rows to, or none")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.kernel) - set(SUITE))
    if unknown:
        parser.error(f"kernel: expected some of {', '.join(SUITE)}, got {', '.join(unknown)}")
    if arguments.rounds < 2:
        parser.error(f"--rounds: expected at least 2, got {arguments.rounds}")
    arguments.write = None if arguments.write == "none" else Path(arguments.write)
    if arguments.allocator == "kept" and any(os.environ.get(name) != value for name, value in KEPT.items()):
        rest = sys.argv[1:] if argv is None else argv
        command = [sys.executable, "-m", "kernels.bench.run", *rest]
        os.execve(sys.executable, command, {**os.environ, **KEPT})
    return arguments


if __name__ == "__main__":
    main()
