"""Open, read and drop a clip many times: memory, file handles and threads must stay where they are.

    python -m video.bench.leaks CLIP [--times 10000] [--backend pyav|torchcodec|decord] [--worker]

--worker: decode in a recycled process, as evaluations do. Memory is that of this process, and of its child with it.
"""

import argparse
import gc
import threading
import time
from pathlib import Path

from video.bench.memory import open_handles, resident_mb
from video.clip import VideoSpec
from video.reader import load_clip
from video.worker import Workers

# what a first reading loads is no leak
WARM_UP = 200


def main() -> None:
    """Print memory, handles and threads ten times on the way, and the slope at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--times", type=int, default=10_000)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--worker", action="store_true")
    given = parser.parse_args()
    video = VideoSpec(num_frames=2)
    with Workers(1) as workers:
        read = workers.load_clip if given.worker else load_clip

        def once() -> None:
            read(given.clip, video, given.backend)

        for _ in range(WARM_UP):
            once()
        gc.collect()
        began, start_mb, start_handles = time.perf_counter(), resident_mb(), open_handles()
        for number in range(1, given.times + 1):
            once()
            if number % max(1, given.times // 10) == 0:
                told = f"{resident_mb():8.1f} MB  {open_handles():3} handles  {threading.active_count():2} threads"
                print(f"{number:6}  {told}", flush=True)
        seconds = time.perf_counter() - began
        grown_kb = (resident_mb() - start_mb) * 1024
        print(
            f"{given.backend}{' in a worker' if given.worker else ''}: {given.times} times in {seconds:.0f} s, "
            f"{grown_kb / 1024:+.2f} MB ({grown_kb / given.times:+.4f} kB each), "
            f"{open_handles() - start_handles:+} handles, {workers.replaced} processes died"
        )


if __name__ == "__main__":
    main()
