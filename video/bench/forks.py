"""Read clips in the worker processes of a DataLoader, however those are started: no hang, and the same frames.

    python -m video.bench.forks FOLDER [--runs 50]

The parent has read the clips itself before, with every backend, as a program does that looks at its data first.
"""

import argparse
import hashlib
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from video.clip import VideoSpec
from video.errors import MediaError
from video.reader import BACKENDS, Backend, load_clip

METHODS = ("fork", "spawn", "forkserver")
# a run that takes longer counts as hanging
SECONDS = 120


class Clips(Dataset[str]):
    """The digest of each clip's frames."""

    def __init__(self, files: list[Path], backend: Backend) -> None:
        self.files, self.backend = files, backend

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> str:
        try:
            clip = load_clip(self.files[position], VideoSpec(num_frames=4), self.backend)
        except MediaError as error:
            return f"{error.kind}"
        return hashlib.sha256(clip.frames_FHWC.tobytes() + clip.times_F.tobytes()).hexdigest()


def main() -> None:
    """Print how many runs of each kind gave the parent's frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--methods", default=",".join(METHODS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(given.folder.iterdir())
    for backend in given.backends.split(","):
        clips = Clips(files, backend)
        expected = [clips[position] for position in range(len(files))]
        for method in given.methods.split(","):
            runs = given.runs
            began, same = time.perf_counter(), 0
            for _ in range(runs):
                loader = DataLoader(
                    clips, batch_size=None, num_workers=2, multiprocessing_context=method, timeout=SECONDS
                )
                same += list(loader) == expected
            seconds = time.perf_counter() - began
            refused = sum(len(answer) < 64 for answer in expected)
            told = f"{same} of {runs} runs give the same {len(files) - refused} clips ({refused} refused)"
            print(f"{backend:10} {method:10} {told}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
