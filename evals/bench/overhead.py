"""Time what the harness adds to a sample: everything but the model and the decoder, fsync included.

python -m evals.bench.overhead --samples 2000
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from evals.batches import Batching
from evals.bench.stub import StubModel, StubTask
from evals.run import finish, predict_run


def main() -> int:
    """Print milliseconds a sample for predicting, resuming with nothing to do, and scoring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    task, batching = StubTask(count=arguments.samples), Batching(samples=arguments.batch)
    best: dict[str, float] = {}
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            for name, step in (
                ("predict", lambda out=out: predict_run(task, StubModel(), out, batching=batching, progress=False)),
                ("resume", lambda out=out: predict_run(task, StubModel(), out, batching=batching, progress=False)),
                ("score", lambda out=out: finish(task, out)),
            ):
                start = time.perf_counter()
                step()
                spent = 1000 * (time.perf_counter() - start) / arguments.samples
                best[name] = min(spent, best.get(name, spent))
    print(f"{arguments.samples} samples, batches of {arguments.batch}, {os.cpu_count()} cores, ms a sample:")
    for name, spent in best.items():
        print(f"  {name:8} {spent:.3f}")
    print(f"  overhead {best['predict'] + best['score']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
