"""Read the mutants of a hostile corpus' clips and compare frames and times with those of the files they were made from.

    python -m video.bench.mutants --corpus DIR [--backends auto,pyav] [--known] [--out FILE.json]

Each is asked for 8 frames, then for all. DIR and --known: see anyres.bench.mutants. Prints a table by codec and
container for each backend: refused (a MediaError), right (the same pixels and times), flagged (others, and the result
says that something is odd), other (others without a word); and bad: untyped errors, hangs, crashes. The exit status is
1 when there is one of the last, or with --known one of the two before it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from anyres.bench.contained import answer_lines
from anyres.bench.mutants import Rows, judged, tabled
from anyres.errors import MediaError
from anyres.limits import LIMITS, MediaLimits
from video.bench.hostile import BACKENDS, warm_up
from video.clip import VideoClip, VideoSpec
from video.reader import clip_meta, load_clip, open_clip_reader
from video.worker import Workers

OUTCOMES = ("refused", "right", "flagged", "other", "bad")
PATIENCE = 60.0
EIGHT = VideoSpec(num_frames=8)
# what a reader of every frame asks for: of a mutant, no more than its header may promise
MOST = 512


def run(corpus: Path, backend: str, known: Path | None) -> Rows:
    """Return group, outcome and words by the id of each mutant."""
    command = [sys.executable, "-m", "video.bench.mutants", "--child", backend]
    return judged(corpus, "video", command, known, PATIENCE)


def child(backend: str, known: str | None) -> None:
    """Answer for one mutant at a time."""
    warm_up(backend)
    limits = replace(LIMITS, checksums=known)
    with Workers(1, limits) as workers:

        def load(path: str, limits: MediaLimits) -> list[VideoClip]:
            if backend == "worker":
                return [workers.load_clip(path, EIGHT), workers.load_clip(path, _all(path))]
            return [load_clip(path, spec, backend, limits=limits) for spec in (EIGHT, _all(path))]

        @lru_cache(maxsize=2)
        def right(path: str) -> list[VideoClip]:
            try:
                return [load_clip(path, spec, _plain(backend)) for spec in (EIGHT, _all(path))]
            except MediaError:
                # this backend reads none of its kind
                return [load_clip(path, spec) for spec in (EIGHT, _all(path))]

        def answer(asked: Mapping[str, str]) -> dict[str, str]:
            group = group_of(asked["original"])
            try:
                found = load(asked["path"], limits)
            except MediaError as error:
                return {"group": group, "outcome": "refused", "words": error.kind}
            except Exception as error:
                return {"group": group, "outcome": "bad", "words": f"{type(error).__name__}: {error}"[:300]}
            wanted = right(asked["original"])
            if all(same(a, b) for a, b in zip(found, wanted, strict=True)):
                return {"group": group, "outcome": "right", "words": ""}
            return {"group": group, "outcome": "flagged" if found[0].flags or found[1].flags else "other", "words": ""}

        answer_lines(answer)


def same(found: VideoClip, wanted: VideoClip) -> bool:
    """Tell whether two clips have the same frames at the same times."""
    alike = found.frames_FHWC.shape == wanted.frames_FHWC.shape and np.allclose(
        found.times_F, wanted.times_F, atol=0.001
    )
    return alike and np.array_equal(found.frames_FHWC, wanted.frames_FHWC)


@lru_cache
def group_of(path: str) -> str:
    """Return codec and container of a clip, in words."""
    reader = open_clip_reader(path)
    container = Path(path).suffix[1:] or "mp4"
    return container if reader.name == "pillow" else f"{reader.index.codec} in {container}"


def _all(path: str) -> VideoSpec:
    return VideoSpec(num_frames=min(MOST, clip_meta(path).num_frames))


def _plain(backend: str) -> str:
    return "auto" if backend == "worker" else backend


def _tell(backend: str, rows: Rows) -> None:
    print(f"{backend}\n\n{tabled(rows, OUTCOMES)}\n", flush=True)
    for name, row in rows.items():
        if row["outcome"] in ("other", "bad"):
            print(f"  {row['outcome']} {name}: {row['words']}", flush=True)


def main() -> int:
    """Run the command; return 1 when a mutant did what it must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--known", action="store_true", help="with checksums of the originals")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--known-file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.known_file)
        return 0
    every = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in given.backends.split(","):
            known = Path(folder) / "SHA256SUMS" if given.known else None
            every[backend] = run(given.corpus, backend, known)
            _tell(backend, every[backend])
    if given.out:
        given.out.write_text(json.dumps(every, indent=1))
    outcomes = {row["outcome"] for rows in every.values() for row in rows.values()}
    return 1 if "bad" in outcomes or (given.known and outcomes & {"flagged", "other"}) else 0


if __name__ == "__main__":
    sys.exit(main())
