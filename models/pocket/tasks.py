"""The pocket model's benchmark: image tasks whose answer is in the drawing, by task, seed and font.

    for sample in image_samples("read", seed=0, count=100): sample.image, sample.question, sample.answer

Evaluation seeds and training seeds never meet: every scene is drawn by a generator named "<space>/...", where the
space is "eval" here and "train" in models.pocket.sources.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from PIL import Image

from conf.nearest import expected
from models.pocket import scenes
from models.pocket.items import HELD_OUT_FONT, TRAIN_FONTS
from models.pocket.questions import pick
from models.pocket.scenes import Scene

__all__ = ["HELD_OUT_FONT", "IMAGE_TASKS", "TRAIN_FONTS", "ImageSample", "image_samples"]

# task -> how its page is drawn, and which question of the page is asked
IMAGE_TASKS: dict[str, tuple[Callable[[Random, str], Scene], str]] = {
    "read": (scenes.page, "read"),
    "odd": (scenes.odd, "odd"),
    "chart": (scenes.chart, "chart"),
    "shape": (scenes.page, "shape"),
    "position": (scenes.page, "position"),
    "count": (scenes.counting, "count"),
    "order": (scenes.listing, "frame"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSample:
    """One question about one page of 168 x 168 px; `answer` is one word, lower case."""

    id: str
    task: str
    image: Image.Image
    question: str
    answer: str


def image_samples(task: str, seed: int, count: int, font: str = "aileron") -> Iterator[ImageSample]:
    """Yield `count` samples of a task; the same arguments give the same samples, and fonts share their layouts' seeds.

    Raises ValueError for a task that is not in IMAGE_TASKS or a font that is not in models.pocket.items.FONTS.
    """
    if task not in IMAGE_TASKS:
        raise ValueError(f"pocket task {task!r}: {expected(task, sorted(IMAGE_TASKS))}")
    draw, asked = IMAGE_TASKS[task]
    for index in range(count):
        rng = Random(f"eval/image/{task}/{seed}/{index}")
        scene = _draw_with(draw, asked, rng, font)
        question = pick(scene, asked, rng)
        yield ImageSample(
            id=f"{task}-{font}-{seed}-{index}",
            task=task,
            image=Image.fromarray(scene.pixels_HW3),
            question=question.text,
            answer=question.answer,
        )


def _draw_with(draw: Callable[[Random, str], Scene], asked: str, rng: Random, font: str) -> Scene:
    """Return the first scene that has a question of the task: a page may happen to hold no shape, or no text."""
    kinds = {"read": ("word", "number"), "shape": ("shape",)}.get(asked)
    while True:
        scene = draw(rng, font)
        if kinds is None or any(item.kind in kinds for item in scene.items):
            return scene
