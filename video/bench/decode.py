"""Time how long readers take for N frames spread over a clip, side by side, and check that all give the same pixels.

python -m video.bench.decode CLIP [--frames 8 32 64] [--rounds 3] [--readers ...] [--csv FILE]

Each round runs every reader once, in turning order; a ratio is taken round by round to decord with 2 threads, so a busy
machine moves both sides. Seconds of processor time are told beside those of the clock: they do not depend on company.
"""

import argparse
import csv
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from numpy import ndarray

from video import open_clip_reader
from video.sampling import uniform_indices

Reader = Callable[[Path, Sequence[int]], ndarray]
BASE = "decord, 2 threads"


def decord(threads: int) -> Reader:
    """Return decord's get_batch."""

    def read(path: Path, indices: Sequence[int]) -> ndarray:
        import decord

        return decord.VideoReader(str(path), num_threads=threads).get_batch(list(indices)).asnumpy()

    return read


def torchcodec(path: Path, indices: Sequence[int]) -> ndarray:
    """Return frames by torchcodec in its exact mode, 2 threads."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=2, dimension_order="NHWC")
    return decoder.get_frames_at(indices=list(indices)).data.numpy()


def pyav_seek(path: Path, indices: Sequence[int]) -> ndarray:
    """Return frames by a plain PyAV loop: index, seek, decode up to the frame; 2 threads."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [(packet.pts, packet.is_keyframe) for packet in container.demux(stream) if packet.size]
    times = sorted(pts for pts, _ in packets)
    keys = sorted(pts for pts, key in packets if key)
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", 2
        for index in indices:
            container.seek(keys[bisect_right(keys, times[index]) - 1], stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= times[index])
            found.append(frame.to_ndarray(format="rgb24"))
    return np.stack(found)


def ours(path: Path, indices: Sequence[int]) -> ndarray:
    """Return frames by open_clip_reader with its default backend, the index included."""
    return open_clip_reader(path).read(indices).frames_FHWC


READERS: dict[str, Reader] = {
    BASE: decord(2),
    "decord, 1 thread": decord(1),
    "PyAV seek, 2 threads": pyav_seek,
    "torchcodec exact, 2 threads": torchcodec,
    "anyres": ours,
}


def measure(path: Path, num_frames: int, rounds: int, readers: Sequence[str]) -> list[dict[str, object]]:
    """Return a row for each reader: seconds, processor seconds, and the ratio of decord's (2 threads) to its own."""
    indices = uniform_indices(open_clip_reader(path).meta.num_frames, num_frames)
    names = [name for name in readers if _works(name, path)]
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    same: dict[str, bool] = {}
    expected: ndarray | None = None
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start, busy = time.perf_counter(), time.process_time()
            frames_FHWC = READERS[name](path, indices)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - busy)
            expected = frames_FHWC if expected is None else expected
            same[name] = bool((frames_FHWC == expected).all()) and same.get(name, True)
    rows = []
    for name in names:
        ratios = [base / own for base, own in zip(wall[BASE], wall[name], strict=True)]
        rows.append(
            {
                "clip": path.name,
                "frames": num_frames,
                "reader": name,
                "seconds": round(statistics.median(wall[name]), 3),
                "fastest": round(min(wall[name]), 3),
                "cpu_seconds": round(statistics.median(cpu[name]), 3),
                "times_faster": round(statistics.median(ratios), 2),
                "spread": f"{min(ratios):.2f}-{max(ratios):.2f}",
                "same_pixels": same[name],
            }
        )
    return rows


def _works(name: str, path: Path) -> bool:
    """Tell whether a reader can be loaded here; it reads one frame."""
    try:
        READERS[name](path, [0])
    except (ImportError, RuntimeError, OSError) as error:
        print(f"{name}: not measured, {str(error).splitlines()[0]}")
        return False
    return True


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS), help=f"{BASE!r} is needed")
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    for num_frames in given.frames:
        rows += measure(given.clip, num_frames, given.rounds, given.readers)
        for row in (row for row in rows if row["frames"] == num_frames):
            print("  ".join(f"{key} {value}" for key, value in row.items() if key != "clip"), flush=True)
        # whatever is measured is kept, also where the rest is not waited for
        if given.csv is not None:
            with given.csv.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
