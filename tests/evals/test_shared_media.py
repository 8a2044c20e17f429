"""In float32 an answer depends on its question alone: not on its batch, its order, its company or what is read once."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evals.answerer import LmmAnswerer
from evals.finite import Finite
from evals.predict import MediaFailed, NotFinite, Question, Ready
from evals.sample import Media
from models.joined import go_on
from models.lmm import LMM
from models.processor import Processor

Tiny = tuple[LMM, Processor]
PROMPTS = (
    "what is it?", "how many shapes are red?", "what color is the shape?", "what word is purple?",
    "what is in line 2?", "how many words?", "is there a circle?", "what is first?",
)  # fmt: skip


@pytest.fixture(scope="module")
def media() -> list[tuple[Image.Image]]:
    """Three pictures of different shapes: prompts of different lengths."""
    rng = np.random.default_rng(0)
    return [(Image.fromarray(rng.integers(0, 255, (60, 50 * k, 3), np.uint8)),) for k in (1, 2, 4)]


def prepared(answerer: LmmAnswerer, media: Sequence[tuple[Image.Image]], shared: bool = True) -> dict[str, Ready]:
    return {
        f"{k}/{prompt}": answerer.prepare(Question(id=f"{k}/{prompt}", prompt=prompt, media=one, shared=shared))
        for k, one in enumerate(media)
        for prompt in PROMPTS
    }


def texts(answerer: LmmAnswerer, ready: dict[str, Ready], names: list[str], size: int) -> dict[str, str]:
    found = {}
    for start in range(0, len(names), size):
        batch = names[start : start + size]
        answers = answerer.answer([ready[name] for name in batch], 3)
        found.update({name: answer.text for name, answer in zip(batch, answers, strict=True)})
    return found


def test_answers_do_not_depend_on_company(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    plain = LmmAnswerer(*tiny, share=False)
    asked = prepared(plain, media)
    assert not any(ready.shared for ready in asked.values())
    alone = texts(plain, asked, list(asked), 1)
    # the needle would not be found if all answers were one
    assert len(set(alone.values())) > len(alone) / 2
    rng, names = random.Random(0), list(alone)
    for trial in range(20):
        answerer = LmmAnswerer(*tiny)
        ready = prepared(answerer, media)
        # some questions read with others, some on their own
        ready = {name: replace(one, shared=rng.random() < 0.7) for name, one in ready.items()}
        rng.shuffle(names)
        assert texts(answerer, ready, names, (1, 2, 3, 8)[trial % 4]) == alone


def test_logits_behind_a_shared_beginning_are_those_of_the_whole(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    model, processor = tiny
    answerer = LmmAnswerer(model, processor)
    ready = list(prepared(answerer, media).values())
    seen: list[torch.Tensor] = []
    hook = model.llm.register_forward_hook(lambda module, inputs, output: seen.append(output.logits[:, -1]))
    try:
        prefixes = [answerer._prefix(one.payload) for one in ready]
        seen.clear()
        rests = [one.payload.prompt.ids[p.length :] for one, p in zip(ready, prefixes, strict=True)]
        go_on(model, prefixes, rests, 1)
        (together_BV,) = seen
        seen.clear()
        for one in ready:
            model.generate(processor.collate([one.payload]), 1)
    finally:
        hook.remove()
    assert len({prefix.length for prefix in prefixes}) > 1
    assert (together_BV - torch.cat(seen)).abs().max() < 1e-4


def test_media_of_several_questions_are_encoded_and_read_once(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    model, processor = tiny
    answerer = LmmAnswerer(model, processor)
    ready = list(prepared(answerer, media[:1]).values())
    tiles: list[int] = []
    positions: list[int] = []
    hooks = [
        model.encoder.register_forward_hook(lambda module, inputs, output: tiles.append(len(inputs[0]))),
        model.llm.register_forward_pre_hook(
            lambda module, inputs, named: positions.append(named["inputs_embeds"].shape[:2].numel()), with_kwargs=True
        ),
    ]
    try:
        # in two batches: the second goes on with what the first has read
        answerer.answer(ready[:5], 1)
        answerer.answer(ready[5:], 1)
    finally:
        for hook in hooks:
            hook.remove()
    assert tiles == [ready[0].tiles]
    assert sum(positions) < ready[0].visual_tokens + 8 * 16
    assert sum(one.tokens for one in ready) > 4 * sum(positions)


def test_a_question_alone_is_not_taken_apart(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    answerer = LmmAnswerer(*tiny)
    assert not answerer.prepare(Question(id="q", prompt="what is it?", media=media[0])).shared
    assert not answerer.prepare(Question(id="q", prompt="what is it?", media=(), shared=True)).shared


def test_media_stand_where_the_prompt_says(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    model, processor = tiny
    answerer = LmmAnswerer(model, processor)

    def ids(prompt: str, opening: str = "") -> list[int]:
        two = (media[0][0], media[1][0])
        return list(answerer.prepare(Question(id="q", prompt=prompt, media=two, opening=opening)).payload.prompt.visual)

    ahead, between = ids("what is first?"), ids("what is <image> first <image> ?")
    assert ahead != between
    assert sum(place >= 0 for place in ahead) == sum(place >= 0 for place in between)
    # text between the two
    first, last = between.index(0), max(range(len(between)), key=lambda place: between[place])
    assert -1 in between[first:last]
    assert len(ids("what is first?", opening="what is")) > len(ahead)
    with pytest.raises(ValueError, match="placeholder"):
        ids("what is <image> ?")


def test_the_answer_goes_on_behind_its_opening(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    model, processor = tiny
    answerer = LmmAnswerer(model, processor)
    plain = answerer.prepare(Question(id="q", prompt="what is it?", media=media[0]))
    words = answerer.answer([plain], 4)[0].text.split()
    assert len(words) >= 2
    opened = answerer.prepare(Question(id="q", prompt="what is it?", media=media[0], opening=words[0]))
    assert answerer.answer([opened], 3)[0].text.split()[0] == words[1]


def test_logits_that_are_no_numbers_stop(tiny: Tiny, media: list[tuple[Image.Image]]) -> None:
    model, processor = tiny
    answerer = LmmAnswerer(model, processor)
    ready = answerer.prepare(Question(id="q", prompt="what is it?", media=media[0]))
    head = model.llm.get_output_embeddings().weight
    before = head.data.clone()
    try:
        for value in (float("nan"), float("inf")):
            head.data[5] = value
            with pytest.raises(NotFinite, match="NaN or infinite"):
                answerer.answer([ready], 2)
        assert LmmAnswerer(model, processor, finite=False).answer([ready], 2)[0].tokens <= 2
    finally:
        head.data.copy_(before)
    with Finite(model):
        answerer.answer([ready], 2)


def test_what_cannot_be_read_is_a_media_failure(tiny: Tiny) -> None:
    answerer = LmmAnswerer(*tiny)
    with pytest.raises(MediaFailed, match=r"gone\.png"):
        answerer.open(Media(key="gone", kind="image", path=Path("gone.png")))
