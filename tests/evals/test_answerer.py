"""The answerer: a template whose stop marker is several tokens ends an answer as soon as the marker is written."""

from dataclasses import replace

import pytest
from PIL import Image

from evals.answerer import LmmAnswerer
from evals.media.looking import Looking
from evals.predict import Question
from models.lmm import LMM
from models.processor import Processor
from models.prompt.templates import TEMPLATES

Tiny = tuple[LMM, Processor]
MOST = 12
PROMPTS = ("what is it?", "how many shapes are red?", "what color is the shape?")


@pytest.fixture
def questions() -> list[Question]:
    media = (Image.new("RGB", (70, 100), "green"),)
    return [Question(id=prompt, prompt=prompt, media=media) for prompt in PROMPTS]


def free(model: LMM, processor: Processor, questions: list[Question]) -> list[list[int]]:
    """Return the ids of answers that nothing ends."""
    answerer = LmmAnswerer(model, processor)
    batch = processor.collate([answerer.prepare(question).payload for question in questions])
    return model.generate(batch, MOST).tolist()


def test_a_marker_of_several_tokens_ends_the_answer(
    tiny: Tiny, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pocket = tiny
    ids_BL = free(model, pocket, questions)
    # the third and fourth word of the first answer; what closes an answer is not part of a first prompt
    marker = pocket.tokenizer.decode(ids_BL[0][2:4], skip_special_tokens=False)
    monkeypatch.setitem(TEMPLATES, "words", replace(TEMPLATES["pocket"], name="words", answer_close=f" {marker}"))
    processor = Processor(replace(pocket.spec, template="words"), pocket.tokenizer)
    assert len(processor.encode(marker)) == 2
    assert processor.stop_ids == ()
    steps: list[int] = []
    answerer = LmmAnswerer(model, processor)
    ready = [answerer.prepare(question) for question in questions]
    hook = model.llm.register_forward_hook(lambda *_: steps.append(1))
    try:
        alone = answerer.answer(ready[:1], MOST)[0]
    finally:
        hook.remove()
    # two words and the marker, one pass each
    assert (len(steps), alone.tokens) == (4, 4)
    assert alone.text == pocket.tokenizer.decode(ids_BL[0][:2])
    together = answerer.answer(ready, MOST)
    assert together[0] == alone
    # as when the whole length is written and cut afterwards
    assert [answer.text for answer in together] == [processor.decode(ids_L) for ids_L in ids_BL]
    assert [answer.tokens for answer in together] == [len(processor.written(ids_L)) for ids_L in ids_BL]
    # another row writes on
    assert max(answer.tokens for answer in together) > alone.tokens


def test_a_stop_id_ends_the_answer_and_is_not_counted(tiny: Tiny, questions: list[Question]) -> None:
    model, pocket = tiny
    ids_BL = free(model, pocket, questions)
    processor = Processor(pocket.spec, pocket.tokenizer)
    processor.stop_ids = (ids_BL[0][3],)
    answerer = LmmAnswerer(model, processor)
    first = answerer.answer([answerer.prepare(questions[0])], MOST)[0]
    assert first.tokens == ids_BL[0].index(ids_BL[0][3])
    assert first.text == pocket.tokenizer.decode(ids_BL[0][: first.tokens])


def test_images_that_share_a_prompt_are_planned_as_the_model_plans_several(tiny: Tiny) -> None:
    model, pocket = tiny
    processor = Processor(replace(pocket.spec, several="pad"), pocket.tokenizer)
    picture = Image.new("RGB", (112, 112), "green")
    one, two = (Question(id="", prompt="what is it?", media=(picture,) * count) for count in (1, 2))
    own = LmmAnswerer(model, processor)
    # 2 x 2 tiles and the overview; one view each, padded, where two share a prompt
    assert (own.prepare(one).tiles, own.prepare(two).tiles) == (5, 2)
    chosen = LmmAnswerer(model, processor, Looking(model, processor, grid=pocket.spec.grid))
    assert (chosen.prepare(one).tiles, chosen.prepare(two).tiles) == (5, 10)
    # a run's record tells the two apart
    recorded, other = own.facts(), chosen.facts()
    assert {key: (recorded[key], other[key]) for key in recorded if recorded[key] != other[key]} == {
        "model.several": ("pad", "grid")
    }
