"""Splitting a command line into bare words, our flags and hydra's overrides."""

import pytest

from conf.arguments import split_arguments


def test_media_flags_and_overrides_come_apart_in_order() -> None:
    argv = ["640x480", "page.jpg", "model=llava-next-7b", "--json", "dir/clip.mp4", "grid.layouts=[[1,1]]", "+a.b=1"]
    bare, flags, overrides = split_arguments(argv)
    assert bare == ["640x480", "page.jpg", "dir/clip.mp4"]
    assert flags == {"--json"}
    assert overrides == ["model=llava-next-7b", "grid.layouts=[[1,1]]", "+a.b=1"]


def test_hydra_options_keep_their_values() -> None:
    argv = [
        "--cfg",
        "job",
        "a.jpg",
        "-m",
        "--info",
        "defaults",
        "--config-dir",
        "more",
        "--package=grid",
        "--info",
        "b.jpg",
    ]
    bare, flags, overrides = split_arguments(argv)
    assert bare == ["a.jpg", "b.jpg"]
    assert flags == set()
    assert overrides == ["--cfg", "job", "-m", "--info", "defaults", "--config-dir", "more", "--package=grid", "--info"]


@pytest.mark.parametrize("word", ["grid=onevision", "++grid.slack=1.0", "~draw", "hydra.run.dir=x", "encoder@a.b=c"])
def test_overrides(word: str) -> None:
    assert split_arguments([word]).overrides == [word]


@pytest.mark.parametrize("word", ["what is 1+1=?", "./a=b.jpg", "/tmp/a=b.jpg", "is x=y here?", "=", "-", "2=3"])
def test_words_that_only_look_like_overrides(word: str) -> None:
    assert split_arguments([word]).bare == [word]


def test_everything_after_two_dashes_is_bare() -> None:
    assert split_arguments(["a=1", "--", "b=2", "--json"]) == (["b=2", "--json"], set(), ["a=1"])


def test_errors() -> None:
    with pytest.raises(ValueError, match="--jsonn: unknown option; this command has --json and --help"):
        split_arguments(["--jsonn"], known={"--json"})
    with pytest.raises(ValueError, match="--cfg: needs a value"):
        split_arguments(["--cfg"])
    with pytest.raises(ValueError, match=r"\+x: expected an override"):
        split_arguments(["+x"])


def test_options_come_behind_overrides() -> None:
    # hydra refuses an override that follows an option
    argv = ["--config-dir=more", "encoder=mine", "--cfg", "job", "grid=2x2"]
    assert split_arguments(argv).overrides == ["encoder=mine", "grid=2x2", "--config-dir=more", "--cfg", "job"]
