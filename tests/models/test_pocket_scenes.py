"""The pocket world: the same seed draws the same scene, boxes hold the ink, answers follow from the boxes."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from anyres.geometry import Box
from models.pocket import scenes
from models.pocket.clips import FRAMES_PER_SCENE, VIDEO_TASKS, write_clips
from models.pocket.items import FONTS, HELD_OUT_FONT, TRAIN_FONTS, Item
from models.pocket.questions import ask, place
from models.pocket.scenes import CELL_PX, PAGE_PX, Scene
from models.pocket.tasks import IMAGE_TASKS, image_samples
from models.pocket.tiles import labelled_tiles
from models.pocket.tokenizer import build_tokenizer
from models.pocket.words import COLORS, CONTENT, VOCABULARY
from video.reader import open_clip_reader

PAGES = (scenes.page, scenes.odd, scenes.counting, scenes.chart, scenes.listing)


def drawn(seed: int) -> list[Scene]:
    pages = [draw(Random(f"test/{seed}"), "aileron") for draw in PAGES]
    return [*pages, scenes.strip(Random(f"test/{seed}"), "serif", 5), scenes.corner(Random(f"test/{seed}"), "times")]


def test_a_seed_draws_one_scene() -> None:
    for one, other in zip(drawn(3), drawn(3), strict=True):
        assert np.array_equal(one.pixels_HW3, other.pixels_HW3) and one.items == other.items


@pytest.mark.parametrize("seed", range(5))
def test_boxes_hold_all_ink(seed: int) -> None:
    for scene in drawn(seed):
        rest = scene.pixels_HW3.astype(int)
        for item in scene.items:
            box = item.box
            inside = rest[box.y : box.y + box.h, box.x : box.x + box.w]
            target = np.abs(
                scene.pixels_HW3[box.y : box.y + box.h, box.x : box.x + box.w].astype(int) - COLORS[item.color]
            )
            assert target.sum(-1).min() < 120, (scene.kind, item)
            inside[:] = rest[0, 0] if not any(b.box.y == 0 and b.box.x == 0 for b in scene.items) else rest[-1, -1]
        assert len(np.unique(rest.reshape(-1, 3), axis=0)) == 1, scene.kind


@pytest.mark.parametrize("seed", range(20))
def test_no_page_item_is_cut_by_a_tile_border(seed: int) -> None:
    for scene in [draw(Random(f"cut/{seed}"), "sans") for draw in PAGES]:
        for item in scene.items:
            if item.kind != "bar":
                assert item.box.y // CELL_PX == (item.box.y + item.box.h - 1) // CELL_PX, (scene.kind, item)
                assert item.box.x // CELL_PX == (item.box.x + item.box.w - 1) // CELL_PX, (scene.kind, item)


def test_places() -> None:
    def at(row: int, col: int) -> str:
        return place(Item(kind="word", name="cat", color="red", box=Box(row * 28 + 2, col * 28 + 3, 8, 20)))

    assert [at(0, 0), at(1, 5), at(2, 2), at(5, 1)] == ["top-left", "top-right", "center", "bottom-left"]


def test_order_questions_follow_the_strip() -> None:
    scene = scenes.strip(Random("order"), "aileron", 4)
    names = [item.name for item in scene.items]
    answers = {question.text: question.answer for question in ask(scene)}
    assert answers["what is first?"] == names[0] and answers["what is last?"] == names[3]
    assert answers["what is in frame 3?"] == names[2] and answers[f"which frame has {names[1]}?"] == "2"
    assert answers[f"what is after {names[1]}?"] == names[2]
    assert answers[f"what is first, {names[3]} or {names[1]}?"] == names[1]


def test_the_vocabulary_covers_every_question_and_answer() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    tokenizer = build_tokenizer()
    unknown = tokenizer.token_to_id("<unk>")
    for seed in range(20):
        for scene in drawn(seed):
            for question in ask(scene):
                assert unknown not in tokenizer.encode(f"{question.text} {question.answer}").ids, question
    assert tokenizer.encode("top-left?").tokens == ["top-left", "?"]
    assert tokenizer.encode("What is a zebra?").tokens == ["what", "is", "a", "<unk>", "?"]


@pytest.mark.parametrize("task", sorted(IMAGE_TASKS))
def test_image_samples_repeat_and_differ_by_seed(task: str) -> None:
    first, again, other = (list(image_samples(task, seed, 3, font=HELD_OUT_FONT)) for seed in (0, 0, 1))
    assert [(s.id, s.question, s.answer) for s in first] == [(s.id, s.question, s.answer) for s in again]
    assert all(a.image.tobytes() == b.image.tobytes() for a, b in zip(first, again, strict=True))
    assert {s.image.tobytes() for s in first}.isdisjoint({s.image.tobytes() for s in other})
    assert first[0].image.size == (PAGE_PX, PAGE_PX)
    assert HELD_OUT_FONT in FONTS and HELD_OUT_FONT not in TRAIN_FONTS


def test_clips_show_each_item_in_turn(tmp_path: Path) -> None:
    samples = [next(write_clips(tmp_path, task, seed=0, count=1, frames=4)) for task in VIDEO_TASKS]
    assert len({sample.path for sample in samples}) == 1 and len(list(tmp_path.iterdir())) == 1
    reader = open_clip_reader(samples[0].path)
    assert reader.meta.num_frames == 4 * FRAMES_PER_SCENE
    frames = reader.read([0, FRAMES_PER_SCENE - 1, FRAMES_PER_SCENE]).frames_FHWC.astype(int)
    # within a scene nothing moves, between scenes everything does
    assert np.abs(frames[0] - frames[1]).mean() < 2 < np.abs(frames[1] - frames[2]).mean()


def test_patch_labels_are_shares() -> None:
    tiles = labelled_tiles(Random("labels"), 40)
    assert np.allclose(tiles.content_NPV.sum(-1), 1, atol=1e-5)
    shown = tiles.content_NPV[..., 0] == 0
    assert np.allclose(tiles.color_NPK.sum(-1)[shown], 1, atol=1e-5) and not tiles.color_NPK[~shown].any()
    assert shown.mean() > 0.2 and tiles.content_NPV.shape == (40, 16, len(CONTENT))
