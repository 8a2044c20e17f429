"""Controls: what is taken away from media, and what that does to plans, keys and questions."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anyres.geometry import HW
from evals.ablation.controlled import controlled
from evals.controls import Control, shuffle_media
from evals.sample import Media, Sample
from video.clip import ClipMeta, VideoClip


def clip(frames: int) -> VideoClip:
    pixels = np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 12, 3), dtype=np.uint8)
    meta = ClipMeta(num_frames=frames, fps=2.0, size=HW(8, 12), duration_s=frames / 2)
    return VideoClip(
        frames_FHWC=pixels, times_F=np.arange(frames) / 2, indices=tuple(range(frames)), reader="r", meta=meta
    )


def test_one_frame_is_the_middle_one_at_its_time() -> None:
    one = controlled(clip(8), Control(frames="single"), "k")
    assert isinstance(one, VideoClip)
    assert (one.indices, one.times_F.tolist(), one.frames_FHWC[0, 0, 0, 0]) == ((4,), [2.0], 4)


def test_shuffled_frames_are_all_there_in_another_order_at_the_same_times() -> None:
    orders = set()
    for seed in "abcdefgh":
        mixed = controlled(clip(5), Control(frames="shuffled"), seed)
        assert isinstance(mixed, VideoClip)
        assert mixed.frames_FHWC[:, 0, 0, 0].tolist() == list(mixed.indices) != [0, 1, 2, 3, 4]
        assert sorted(mixed.indices) == [0, 1, 2, 3, 4]
        assert mixed.times_F.tolist() == [0, 0.5, 1, 1.5, 2]
        orders.add(mixed.indices)
    assert len(orders) > 3
    assert controlled(clip(1), Control(frames="shuffled"), "a").indices == (0,)


def test_pictures_are_reduced_and_resized_back() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    small = controlled(noise, Control(reduce=4), "k")
    back = controlled(noise, Control(reduce=4, restore=True), "k")
    assert isinstance(small, Image.Image) and isinstance(back, Image.Image)
    assert small.size == (22, 15) and back.size == noise.size
    assert np.asarray(back).std() < 0.5 * np.asarray(noise).std()
    assert Control(reduce=4).size(HW(60, 90)) == HW(15, 22)
    assert Control(reduce=4, restore=True).size(HW(60, 90)) == HW(60, 90)
    assert controlled(noise, Control(), "k") is noise


def test_controls_that_change_a_medium_alike_are_equal() -> None:
    assert Control(frames="single").of("image") == Control().of("image")
    assert Control(restore=True).of("video") == Control().of("video")
    assert Control(frames="single").of("video") != Control().of("video")


@pytest.mark.parametrize("wrong", [{"frames": "some"}, {"reduce": 3}])
def test_wrong_controls_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Control(**wrong)
    with pytest.raises(TypeError, match="expected an image or a clip"):
        controlled("text", Control(reduce=2), "k")


def question(name: str, kind: str, key: str) -> Sample:
    media = (Media(key=key, kind="image", draw=lambda: None),)
    return Sample(id=name, media=media, question="?", answers=("a",), kind=kind)


def test_blind_media_come_from_the_same_kind_of_question() -> None:
    samples = [question(f"{kind}{i}", kind, f"{kind}{i}") for kind in ("a", "b") for i in range(5)]
    blind = shuffle_media(samples)
    assert all(one.media[0].key[0] == one.kind for one in blind)
    assert all(one.media[0].key != one.id for one in blind)
    assert sorted(one.media[0].key for one in blind) == sorted(one.id for one in samples)


def test_kinds_of_one_medium_exchange_theirs() -> None:
    samples = [question("a", "a", "x"), question("b", "b", "y"), question("c", "c", "x")]
    assert [one.media[0].key for one in shuffle_media(samples)] == ["y", "x", "y"]
    lone = [*(question(f"a{i}", "a", f"a{i}") for i in range(3)), question("b", "b", "z")]
    assert shuffle_media(lone)[3].media[0].key in {"a0", "a1", "a2"}
    with pytest.raises(ValueError, match="there is no other"):
        shuffle_media([question("a", "a", "x"), replace(question("b", "b", "x"), id="b")])
