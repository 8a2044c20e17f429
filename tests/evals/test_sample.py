"""Samples: what they accept, and what identifies a medium."""

from pathlib import Path

import pytest

from evals.sample import Media, Sample, kind_of


def test_labels_follow_options() -> None:
    sample = Sample(id="b/s/1", media=(), question="q", answers=("B",), options=("x", "y", "z"))
    assert sample.labels == ("A", "B", "C")
    assert sample.answer == "B"


@pytest.mark.parametrize("answers", [("D",), ("y",), ("A", "B")])
def test_multiple_choice_takes_one_label(answers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="b/s/1"):
        Sample(id="b/s/1", media=(), question="q", answers=answers, options=("x", "y", "z"))


def test_an_answer_may_be_the_benchmark_s_secret() -> None:
    assert Sample(id="b/s/1", media=(), question="q", answers=(), options=("x", "y")).answer == ""


def test_too_many_options_are_refused() -> None:
    with pytest.raises(ValueError, match="27 options"):
        Sample(id="b/s/1", media=(), question="q", answers=("A",), options=("x",) * 27)


def test_media_is_a_file_or_a_drawing() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Media(key="k", kind="image")
    assert Media(key="k", kind="image", draw=list) == Media(key="k", kind="image", draw=dict)


def test_kind_by_suffix() -> None:
    assert kind_of(Path("a/B.JPG")) == "image"
    assert kind_of(Path("clip.MP4")) == "video"
    with pytest.raises(ValueError, match=r"\.xyz"):
        kind_of(Path("a.xyz"))
