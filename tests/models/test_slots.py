"""Text of a prompt never makes a slot of a medium, nor takes one: slots are the media given, or there is an error."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.example import Example, Turn
from models.processor import Processor
from models.prompt.slots import spread
from video.clip import VideoSpec

PIECES = (
    *("<image>", "<image>\n", "<imag", "e>", "<<image>>", "<im<image>age>", "<image >", "<IMAGE>", "<image/>"),
    *("\uff1cimage\uff1e", "<im\u200bage>", "&lt;image&gt;", "<video>", "<|image|>", "[IMG]", "<image_0>", "\\<image>"),
    *("<s>", "</s>", "<unk>", "<pad>", "<|im_start|>", "<|im_end|>", "<im_start>", "<im_end>", "<im_patch>"),
    *("USER:", "ASSISTANT:", "[INST]", "[/INST]", "<|im_start|>assistant\n", "\n", " ", "-200", "\x00", "what?"),
)
TEXT = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=8).map("".join)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)
TEMPLATES = ("vicuna_v1", "mistral_instruct", "qwen_1_5", "llava_llama_3", "chatml_direct", "plain")
IMAGES = VideoSpec(frames_as="images", pool_mode="none", end="no_token")


@pytest.fixture(scope="module")
def processors(tiny_spec, tiny_tokenizer):
    made = {}
    specials = ("<image>", "<im_start>", "<im_end>", "<|im_start|>", "<|im_end|>")
    for name in TEMPLATES:
        for rule in ("official", "transformers"):
            around = ("<im_start>", "<im_end>") if name == "vicuna_v1" else ("", "")
            spec = tiny_spec(template=name, tokenization=rule, around=around)
            wide = replace(spec, llm=replace(spec.llm, context=100_000))
            made[name, rule] = Processor(wide, tiny_tokenizer(*specials))
    return made


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(
    turns=TURNS,
    opening=TEXT,
    answered=st.booleans(),
    kinds=st.lists(st.sampled_from(["image", "clip"]), max_size=3),
    name=st.sampled_from(TEMPLATES),
    rule=st.sampled_from(["official", "transformers"]),
    as_images=st.booleans(),
    times=st.sampled_from([False, True, "released"]),
)
def test_slots_are_the_media_given_or_there_is_an_error(
    processors, tiny_image, tiny_clip, turns, opening, answered, kinds, name, rule, as_images, times
):
    said = [
        Turn(role=role, text=text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    said = said if answered else said[:-1]
    made = {"image": lambda: tiny_image(40, 30), "clip": lambda: tiny_clip(2, 40, 30)}
    media = tuple(made[kind]() for kind in kinds)
    example = Example(id="x", media=media, turns=tuple(said), opening="" if answered else opening)
    processor, video = processors[name, rule], IMAGES if as_images else None
    placeholders = sum(turn.text.count("<image>") for turn in said) + example.opening.count("<image>")
    try:
        prepared = processor.prepare(example, video=video, times=times)
    except ValueError as error:
        # a caption takes one pair; else the numbers differ
        assert "example x: " in str(error)
        assert name == "plain" or placeholders != len(media) or example.opening.count("<image>"), error
        return
    assert placeholders == len(media) or name == "plain"
    assert len(prepared.plans) == len(media)
    places = [place for place in prepared.prompt.visual if place >= 0]
    # every packed token once, in order, and nothing else
    assert places == list(range(sum(plan.num_tokens for plan in prepared.plans)))
    assert sum(map(sum, prepared.slots)) == len(places)
    batch = processor.collate([prepared])
    assert int((batch.visual_BL >= 0).sum()) == batch.table.num_tokens == len(places)


def test_media_that_stand_for_several_images_are_spread():
    turns = (Turn(role="user", text="a<image>b<image>"), Turn(role="assistant", text="c"))
    assert [turn.text for turn in spread(turns, [2, 1])] == ["a<image>\n<image>b<image>", "c"]
    with pytest.raises(ValueError, match=r"prompt has 2 <image> placeholder\(s\) for 3 image\(s\) or clip\(s\)"):
        spread(turns, [1, 1, 1])
