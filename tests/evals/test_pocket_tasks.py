"""The pocket benchmark as tasks: stable samples, scoring, shared clips, and a run with a tiny model."""

from dataclasses import replace
from pathlib import Path

import pytest

from evals.run import digest, evaluate
from evals.sample import Sample
from evals.tasks.pocket import PocketImage, PocketVideo
from models.lmm import LMM
from models.processor import Processor

Tiny = tuple[LMM, Processor]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PocketVideo:
    return PocketVideo(folder=tmp_path_factory.mktemp("clips"), kinds=("first", "last"), frames=2, count=2)


def test_pages_are_stable_and_their_pixels_are_part_of_the_digest() -> None:
    task = PocketImage(kinds=("read", "position"), count=3)
    samples = task.samples()
    assert [s.id for s in samples][:2] == ["pocket-image/read-aileron-0-0", "pocket-image/read-aileron-0-1"]
    assert [s.kind for s in samples] == ["read"] * 3 + ["position"] * 3
    assert samples == task.samples()
    assert digest(task, samples) == digest(task, task.samples())
    moved = [replace(samples[0], media=samples[1].media), *samples[1:]]
    assert digest(task, moved) != digest(task, samples)
    other = replace(task, seed=1)
    assert not {s.answer for s in samples} == {s.answer for s in other.samples()} == set()
    assert digest(other, other.samples()) != digest(task, samples)


def test_drawings_come_with_the_right_question() -> None:
    first, *_ = PocketImage(kinds=("read",), count=1).samples()
    assert first.media[0].draw is not None
    image = first.media[0].draw()
    assert image.size == (168, 168)
    assert first.question.endswith("?")


def test_two_words_are_scored_whole() -> None:
    task = PocketImage()
    sample = Sample(id="s", media=(), question="where is cat?", answers=("top left",))
    for text, score in [("top left", 1.0), ("Top  left.", 1.0), ("top", 0.0), ("", 0.0)]:
        assert task.score(sample, task.parse(sample, text)) == score
    assert task.parse(sample, "").answer is None


def test_clips_are_shared_by_the_kinds(clips: PocketVideo) -> None:
    samples = clips.samples()
    assert [s.kind for s in samples] == ["first", "last", "first", "last"]
    assert samples[0].media == samples[1].media != samples[2].media
    assert samples[0].cluster == samples[1].cluster
    written = {path: path.stat().st_mtime_ns for path in Path(clips.folder).iterdir()}
    assert len(written) == 2
    assert clips.samples() == samples
    assert {path: path.stat().st_mtime_ns for path in Path(clips.folder).iterdir()} == written


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match="'smell'"):
        PocketImage(kinds=("smell",)).samples()


def test_run_with_images(tiny: Tiny, tmp_path: Path) -> None:
    task = PocketImage(kinds=("read", "odd"), count=4)
    result = evaluate(task, *tiny, tmp_path / "run", blind=True, progress=False)
    assert (result.row("all").n, result.row("all").failed) == (8, 0)
    # 2x2 over a square of 168 px: 16 + 8 * (8 + 1) tokens
    assert result.row("read").tokens == 88


def test_run_with_clips(tiny: Tiny, clips: PocketVideo, tmp_path: Path) -> None:
    result = evaluate(clips, *tiny, tmp_path / "run", blind=True, progress=False)
    assert (result.row("all").n, result.row("all").failed) == (4, 0)
    # 2 frames of 4 rows of 4 tokens, each row closed
    assert result.row("all").tokens == 40
    one = result.samples[0].prediction
    assert (one.frames, one.tiles) == (2, 2)
    assert one.reader
