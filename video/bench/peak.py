"""Measure the memory that reading N frames takes beyond the frames themselves, for clips of different length.

python -m video.bench.peak CLIP... [--frames 16]

Every clip has a process of its own; the index is included.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from anyres.grid import TileSpec
from video import VideoSpec, load_clip
from video.bench.memory import peak_mb, restart_peak


def main() -> None:
    """Print a line for each clip."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--alone", action="store_true", help="measure one clip in this process")
    given = parser.parse_args()
    if not given.alone:
        for path in given.clips:
            command = [sys.executable, "-m", "video.bench.peak", str(path), "--frames", str(given.frames), "--alone"]
            subprocess.run(command, check=True)
        return
    (path,) = given.clips
    video = VideoSpec(num_frames=given.frames)
    for tile in (None, TileSpec(px=384, tok=27)):
        before = restart_peak()
        clip = load_clip(path, video, tile=tile)
        frames = clip.frames_FHWC.nbytes / 2**20
        told = "whole frames" if tile is None else "frames for 384 px tiles"
        print(f"{path.name}: {told}: {frames:.0f} MiB of frames, peak {peak_mb() - before:.0f} MiB", flush=True)
        del clip


if __name__ == "__main__":
    main()
