"""Procedurally drawn MP4 clips: one item after the other, each for a while, and questions about them.

    for sample in write_clips(folder, "first", seed=0, count=50, frames=4): sample.path, sample.question, sample.answer

A clip of `frames` scenes shows each for FRAMES_PER_SCENE video frames at FPS, so that a uniform sampler that takes
`frames` frames sees every scene once.  The pocket model never saw a video, or these drawings, in training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import av
import numpy as np

from models.pocket.questions import pick
from models.pocket.scenes import FRAME_PX, Scene, strip

FPS = 8
FRAMES_PER_SCENE = 8
# drawn larger than the model's frame, so that compression and colour subsampling stay below what it can see
SCALE = 4
# task -> which question of the strip of frames is asked; "order" offers two items, so chance is one half
VIDEO_TASKS: dict[str, str] = {
    "retrieval": "retrieval",
    "first": "first",
    "last": "last",
    "order": "order",
    "frame": "frame",
    "after": "after",
    "index": "index",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSample:
    """One question about one clip; `frames` is the number of scenes it shows."""

    id: str
    task: str
    path: Path
    frames: int
    question: str
    answer: str


def write_clips(
    folder: Path, task: str, seed: int, count: int, frames: int, font: str = "aileron"
) -> Iterator[ClipSample]:
    """Draw `count` clips of a task into `folder` and yield their questions; a clip that is already there is kept.

    Tasks share their clips: the same seed, index, frames and font are the same file. Raises ValueError for a task that
    is not in VIDEO_TASKS or fewer than 2 frames.
    """
    if task not in VIDEO_TASKS:
        raise ValueError(f"pocket video task {task!r}: expected one of {sorted(VIDEO_TASKS)}")
    if frames < 2:
        raise ValueError(f"pocket video: expected at least 2 frames, got {frames}")
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        name = f"{font}-{frames}-{seed}-{index}"
        scene = _scene(name, font, frames)
        path = folder / f"{name}.mp4"
        if not path.exists():
            write_mp4(path, scene, frames)
        question = pick(scene, VIDEO_TASKS[task], Random(f"eval/clip/{task}/{name}"))
        yield ClipSample(
            id=f"{task}-{name}", task=task, path=path, frames=frames, question=question.text, answer=question.answer
        )


@lru_cache(maxsize=1)
def _scene(name: str, font: str, frames: int) -> Scene:
    # tasks that are asked in turn share the drawing
    return strip(Random(f"eval/clip/{name}"), font, frames, scale=SCALE)


def write_mp4(path: Path, scene: Scene, frames: int) -> None:
    """Write a strip as an H.264 clip, frame after frame; the file appears under its name only when it is complete."""
    side = FRAME_PX * SCALE
    partial = path.with_suffix(".partial.mp4")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "preset": "veryfast", "threads": "1"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            image = np.ascontiguousarray(scene.pixels_HW3[index * side : (index + 1) * side])
            for _ in range(FRAMES_PER_SCENE):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    partial.rename(path)
