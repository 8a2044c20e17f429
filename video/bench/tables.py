"""Change the tables of MP4 files at random: the index from tables is that from packets, or it is not used.

    python -m video.bench.tables FILE.mp4... [--mutants 20000] [--seed 1]

Each batch runs in a process of its own, which may take 4 GB. Printed: mutants whose tables were used, of these the ones
whose index differs, those whose packets cannot all be read (frames that need one of them are errors when they are asked
for), and those where it tells other starting points (which are checked when they are used); errors that are no
MediaError; the most memory, in MB, which is what FFmpeg takes to open a file.
"""

import argparse
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from video.container import opened
from video.errors import MediaError
from video.packets import PacketIndex, index_by_reading, index_by_tables

Index = Callable[[Path, InputContainer, VideoStream], PacketIndex | None]

BATCH = 500
MEMORY = 4 << 30
BOXES = (b"ctts", b"stts", b"stss", b"stsz", b"stsc", b"stco", b"elst", b"tkhd", b"mdhd", b"mvhd", b"stbl", b"trak")
NUMBERS = (0, 1, 2, 3, 1 << 28, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutant(data: bytes, rng: random.Random) -> bytes:
    """Return a file with one to four numbers of its movie box changed; one in twenty is cut off too."""
    changed = bytearray(data)
    start = data.find(b"moov") - 4
    end = min(len(data), start + struct.unpack(">I", data[start : start + 4])[0])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = data.find(rng.choice(BOXES), start, end)
        place = rng.randrange(start, end) if place < 0 or rng.random() < 0.4 else place - 4 + 4 * rng.randrange(12)
        if place + 4 > len(data):
            continue
        (number,) = struct.unpack(">I", changed[place : place + 4])
        new = rng.choice(
            (number ^ 1 << rng.randrange(32), rng.choice(NUMBERS), number + rng.choice((-512, -1, 1, 512)))
        )
        changed[place : place + 4] = struct.pack(">I", new & 0xFFFFFFFF)
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.05 else changed)


def compare(path: Path) -> Counter[str]:
    """Return whether the tables of one file are used, and whether they then tell something else than its packets."""
    found: Counter[str] = Counter()
    told = _told(path, index_by_tables)
    if told is None:
        return found
    read = _told(path, index_by_reading)
    found["used"] += 1
    unreadable = isinstance(read, MediaError) and read.detail.startswith("reading failed")
    refused = isinstance(told, MediaError) and isinstance(read, MediaError)
    same = refused or (isinstance(told, PacketIndex) and isinstance(read, PacketIndex) and _same(told, read))
    found["unreadable"] += unreadable
    found["differ"] += not same and not unreadable
    found["other starts"] += same and not refused and told != read
    return found


def _told(path: Path, index: Index) -> PacketIndex | MediaError | None:
    try:
        with opened(path) as (container, stream):
            return index(path, container, stream)
    except MediaError as error:
        return error


def _same(told: PacketIndex, read: PacketIndex) -> bool:
    return _but_starts(told) == _but_starts(read)


def _but_starts(told: PacketIndex) -> PacketIndex:
    """Leave out where decoding can start: packets say it themselves when they are read."""
    return replace(told, key_pts=(), closed_gops=True)


def child(files: list[str], mutants: int, seed: int) -> None:
    """Print the counts of one batch."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng = random.Random(seed)
    counts: Counter[str] = Counter(mutants=mutants)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mutant.mp4")
        for _ in range(mutants):
            path.write_bytes(mutant(Path(rng.choice(files)).read_bytes(), rng))
            try:
                counts += compare(path)
            except Exception as error:
                counts["untyped"] += 1
                counts[repr(error)[:200]] += 1
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({**counts, "most MB": megabytes}))


def main() -> int:
    """Run the batches and print the sum; 1 when an index differs, an error is untyped or a process died."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.files, given.mutants, given.seed)
        return 0
    total: Counter[str] = Counter()
    for number in range(0, given.mutants, BATCH):
        count = str(min(BATCH, given.mutants - number))
        command = [sys.executable, "-m", "video.bench.tables", *given.files, "--child", "--mutants", count]
        command += ["--seed", str(given.seed * 1_000_003 + number)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        counts = json.loads(run.stdout) if run.returncode == 0 else {"crashed": 1}
        most = max(total.pop("most MB", 0), counts.pop("most MB", 0))
        total += Counter(counts)
        total["most MB"] = most
    print(dict(total), flush=True)
    return 1 if total["differ"] or total["untyped"] or total["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
