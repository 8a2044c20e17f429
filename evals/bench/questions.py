"""Time ten questions about one clip against one: the clip is decoded, encoded and read by the language model once.

    python -m evals.bench.questions --frames 16

The model is the one that ships, its grid and context widened so that a clip is a long visual prefix; the clip is drawn
from a seed. Times are whole runs of the harness in one process, which take turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import numpy as np

from evals.answerer import LmmAnswerer
from evals.bench.figures import Figure, describe, figures
from evals.media.looking import Looking
from evals.protocol import Question
from evals.run import predict_run
from evals.sample import Media, Sample
from evals.task import Parsed, Task
from kernels.bench.clock import measure as take_turns
from models.build import load
from models.processor import Processor

QUESTIONS = (
    "what is it?", "how many shapes are red?", "what color is the shape?", "what word is purple?",
    "what is in line 2?", "how many words?", "what color is the word?", "what is first?", "what is last?",
    "what shape is blue?",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OneClip(Task):
    """The first `count` questions about the clip `path`."""

    path: Path
    count: int
    name: str = "one-clip"
    version: str = "1"
    max_new_tokens: int = 4

    def samples(self) -> Sequence[Sample]:
        """Return the questions."""
        return [
            Sample(id=f"one-clip/{number}", media=(Media.file(self.path),), question=question, answers=("x",))
            for number, question in enumerate(QUESTIONS[: self.count])
        ]

    def prompt(self, sample: Sample) -> str:
        """Return the question."""
        return sample.question

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the text."""
        return Parsed(answer=text, rule="text")

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 0: only time counts here."""
        return 0.0


def measure(frames: int, rounds: int) -> Iterator[Figure]:
    """Give the seconds of ten questions against one, with the clip read once and with each question reading it."""
    model, processor = load("pocket")
    spec = processor.spec
    wide = replace(spec, llm=replace(spec.llm, context=1 << 20))
    processor, video = Processor(wide, processor.tokenizer), replace(spec.video, num_frames=frames, pool=1)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _draw(clip, frames)
        answerer = partial(LmmAnswerer, model, processor, Looking(model, processor, video=video))
        tokens = _tokens(answerer(), clip)
        calls = {
            "one question": lambda: _ask(answerer(), clip, 1),
            "ten questions": lambda: _ask(answerer(), clip, len(QUESTIONS)),
            "ten questions, each reads the clip": lambda: _ask(answerer(share=False), clip, len(QUESTIONS)),
        }
        seconds = take_turns(calls, "cpu", rounds)
    yield from figures("questions", f"{frames} frames, {tokens} visual tokens", seconds, "one question")


def main() -> int:
    """Print seconds for one question and for ten, with what is shared and without, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for row in measure(arguments.frames, arguments.repeats):
        print(describe(row), flush=True)
    return 0


def _ask(answerer: LmmAnswerer, clip: Path, count: int) -> None:
    with tempfile.TemporaryDirectory() as out:
        predict_run(OneClip(path=clip, count=count), answerer, Path(out), progress=False)


def _draw(path: Path, frames: int) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(frames):
            coarse = rng.integers(0, 255, (12, 16, 3), np.uint8)
            picture = np.repeat(np.repeat(coarse, 20, 0), 20, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _tokens(answerer: LmmAnswerer, clip: Path) -> int:
    media = (answerer.open(Media.file(clip)),)
    return answerer.prepare(Question(id="q", prompt=QUESTIONS[0], media=media)).visual_tokens


if __name__ == "__main__":
    sys.exit(main())
