"""Teachers of the pocket recipe: what they are told about each token, and that none drowns the answers at first."""

from random import Random

import torch

from anyres.geometry import HW
from models.pocket import scenes
from models.pocket.batches import collate
from models.pocket.fresh import fresh
from models.pocket.mix import View, view_plan
from models.pocket.places import place_words
from models.pocket.questions import ask
from models.pocket.recipe import BALANCED_RMS, balance
from models.pocket.sources import patch_source
from models.pocket.teachers import PatchWords, PlacedAnswers, PlacedWords
from models.pocket.words import VOCABULARY
from models.spec import ModelSpec


def names(ids: torch.Tensor) -> list[str]:
    return [VOCABULARY[index] if index >= 0 else "" for index in ids.tolist()]


def test_words_of_a_page_are_its_thirds() -> None:
    plan = view_plan(HW(168, 168), View(weight=1, grid=(3, 3)), None)
    words = place_words(plan, "page")
    # 16 overview tokens have no words; then rows of 12 tokens and a row end
    assert words[:16].max() == -1 and names(words[16]) == ["top", "left", ""] and words[16 + 12].max() == -1
    assert names(words[16 + 13 * 4 + 4]) == ["middle", "center", ""] and names(words[16 + 13 * 11 + 11]) == [
        "bottom",
        "right",
        "",
    ]


def test_words_of_a_strip_are_its_frames() -> None:
    plan = view_plan(HW(56 * 3, 56), View(weight=1, frames=(3, 3)), None)
    frames = [names(word)[2] for word in place_words(plan, "strip")]
    assert [frame for frame in frames if frame] == ["1"] * 16 + ["2"] * 16 + ["3"] * 16


def test_previous_items() -> None:
    scene = scenes.strip(Random("previous"), "aileron", 3)
    plan = view_plan(HW(56 * 3, 56), View(weight=1, frames=(3, 3)), None)
    batch = collate(plan, [scene], [ask(scene)[:1]])
    assert [VOCABULARY[name] for _, _, name in batch.previous_K3.tolist()] == [item.name for item in scene.items[:2]]
    for (_, position, _), item in zip(batch.previous_K3.tolist(), scene.items[1:], strict=True):
        token = position - 1
        assert token // 5 == (item.box.y + item.box.h / 2) // 14 and token % 5 == (item.box.x + item.box.w / 2) // 14


def test_no_teacher_drowns_the_answers(tiny_pocket: ModelSpec) -> None:
    model, _ = fresh(tiny_pocket, seed=0)
    scene = scenes.listing(Random("drown"), "aileron")
    batch = collate(view_plan(HW(168, 168), View(weight=1, grid=(2, 2)), None), [scene], [ask(scene)[:3]])
    torch.manual_seed(0)
    teacher = PlacedWords(PlacedAnswers(32, place_layer=1, pointer_layer=2), 32, layer=1)
    with torch.no_grad():
        # hidden states far from unit length, as a trained decoder has them
        model.llm.get_input_embeddings().weight.mul_(1000)
        loss, numbers = teacher(model, batch, 1.0)
        hidden = teacher.placed(model, batch, 1.0)[0]
    assert loss - hidden < 5 and {"words", "previous", "place", "pointer", "right"} <= set(numbers)


def test_balance_gives_patches_and_words_one_scale(tiny_pocket: ModelSpec) -> None:
    model, _ = fresh(tiny_pocket, seed=0)
    pixels = patch_source(0, 8)(0).pixels_NCHW
    before = PatchWords(32).logits(model, model.encode(pixels))[0].argmax(-1)
    balance(model, pixels)
    rms = model.projector(model.encode(pixels)).square().mean().sqrt()
    words = model.llm.get_input_embeddings().weight
    assert abs(rms.item() - BALANCED_RMS) < 1e-3 and abs(words.square().mean().sqrt().item() - BALANCED_RMS) < 1e-3
    # directions, and so what each patch is closest to, stay
    assert torch.equal(before, PatchWords(32).logits(model, model.encode(pixels))[0].argmax(-1))
