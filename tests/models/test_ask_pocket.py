"""anyres-ask with the model that ships, on real media and on a page of its own world."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from models.pocket.tasks import image_samples
from models.pocket.words import VOCABULARY
from models.serve.main import main


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    def call(*words: object) -> dict:
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.parametrize(
    ("name", "visual"),
    [
        # overview 16, detail 8 rows of 12 and a row end
        ("waterview.jpg", 120),
        ("extreme_ironing.jpg", 120),
        # 8 frames of 4 rows of 4 and a row end
        ("xU25MMA2N4aVtYay.mp4", 160),
        ("flipping_a_pancake.mkv", 160),
        ("video_90.mov", 160),
        ("unordered.mov", 160),
    ],
)
def test_real_media_are_answered_in_its_small_vocabulary(ask: Callable, shared: Path, name: str, visual: int) -> None:
    row = ask(shared / "media" / name, "what is red?", "max_new_tokens=8")
    assert (row["model"], row["visual_tokens"], row["rope_factor"]) == ("pocket", visual, 1.0)
    assert row["answer"] and set(row["answer"].split()) <= set(VOCABULARY)


def test_it_answers_about_pages_of_its_own_world(ask: Callable, tmp_path: Path) -> None:
    """Chance is far below: a page has several shapes, the model knows a dozen."""
    right = 0
    for sample in image_samples("shape", seed=11, count=6):
        sample.image.save(tmp_path / "page.png")
        right += ask(tmp_path / "page.png", sample.question)["answer"] == sample.answer
    assert right >= 4
