"""Media in prompts: several, in any turn, announced, wrapped, within a budget; and counts that do not match."""

from dataclasses import replace

import pytest

from models.example import Example, Turn
from models.processor import Processor
from models.prompt.times import announce
from video.clip import VideoSpec

TIMES = (
    "The video lasts for 2.00 seconds, and 2 frames are uniformly sampled from it. These frames are located at "
    "0.00s,1.00s.Please answer the following questions related to this video."
)


def user(text):
    return Turn(role="user", text=text)


def assistant(text):
    return Turn(role="assistant", text=text)


def text_of(processor, prepared):
    """Return the prompt as text, each medium's tokens as <N>."""
    text, run = "", 0
    for token, place in zip(prepared.prompt.ids, prepared.prompt.visual, strict=True):
        if place >= 0:
            run += 1
            continue
        text += f"<{run}>" * bool(run) + processor.tokenizer.decode([token], skip_special_tokens=False)
        run = 0
    return text


@pytest.fixture
def processor(tiny_spec, tiny_tokenizer):
    return Processor(tiny_spec(template="mistral_instruct"), tiny_tokenizer())


def test_media_stand_in_any_turn_in_order(processor, tiny_image, tiny_clip):
    turns = (user("<image> or <image>?"), assistant("The first"), user("And\n<image>\nthen?"))
    one = Example(id="x", media=(tiny_image(30, 30), tiny_clip(2, 50, 50), tiny_image(80, 60)), turns=turns)
    prepared = processor.prepare(one)
    # the released five grids: (2, 1) pads a square, 12 tokens of which are cut; a clip's frame is a row of 1
    counts = [plan.num_tokens for plan in prepared.plans]
    assert counts[1] == 4 and counts[0] != counts[2]
    expected = (
        f"<s>[INST] <{counts[0]}> or <{counts[1]}>? [/INST] The first </s>[INST] And\n<{counts[2]}>\nthen? [/INST]"
    )
    assert text_of(processor, prepared) == expected


def test_one_batch_mixes_text_pictures_clips_and_turns(processor, tiny_image, tiny_clip):
    examples = [
        Example(id="text", media=(), turns=(user("Hi"), assistant("Hello"), user("Who?"))),
        Example(id="late", media=(tiny_image(30, 30),), turns=(user("Hi"), assistant("Hello"), user("<image>\nWho?"))),
        Example(id="two", media=(tiny_clip(2, 50, 50), tiny_clip(3, 40, 60)), turns=(user("<image><image>Which?"),)),
    ]
    prepared = [processor.prepare(one) for one in examples]
    batch = processor.collate(prepared)
    counts = [one.num_visual for one in prepared]
    assert counts[0] == 0 and counts[2] == 4 + 6
    assert [(row >= 0).sum().item() for row in batch.visual_BL] == counts
    assert batch.visual_BL.max().item() == sum(counts) - 1


@pytest.mark.parametrize("placeholders", [0, 1, 3])
def test_a_mismatch_anywhere_in_a_batch_names_the_sample_and_both_counts(processor, tiny_image, placeholders):
    media = (tiny_image(30, 30), tiny_image(30, 30))
    good = Example(id="good", media=media, turns=(user("<image><image>"),))
    bad = Example(id="page 7", media=media, turns=(user("<image>" * placeholders + "what?"),))
    message = rf"example page 7: prompt has {placeholders} <image> placeholder\(s\) for 2 image\(s\) or clip\(s\)"
    with pytest.raises(ValueError, match=message):
        processor.batch([good, bad, good])


def test_clips_are_announced_where_they_stand(tiny_image, tiny_clip):
    media = (tiny_image(30, 30), tiny_clip(2, 50, 50), tiny_clip(2, 50, 50))
    turns = (user("<image>\n<image>\nwhat?"), assistant("this"), user("and <image>?"))
    told = announce(turns, media)
    assert [turn.text for turn in told] == [
        f"<image>\n<image>\n{TIMES}\nwhat?",
        "this",
        f"and <image>\n{TIMES}\n?",
    ]


def test_a_model_trained_with_times_is_told_them(tiny_spec, tiny_tokenizer, tiny_clip):
    spec = tiny_spec(template="mistral_instruct", times=True)
    one = Example(id="x", media=(tiny_clip(2, 50, 50),), turns=(user("<image>\nwhat?"),))
    for own, asked, told in ((True, None, True), (True, False, False), (False, None, False), (False, True, True)):
        processor = Processor(replace(spec, times=own), tiny_tokenizer())
        prepared = processor.prepare(one, times=asked)
        text = text_of(processor, prepared)
        assert text == f"<s>[INST] <4>\n{f'{TIMES}{chr(10)}' * told}what? [/INST]"
        # another question on the same clip is announced alike
        again = processor.reprompt(prepared, replace(one, turns=(user("<image>\nwhen?"),)))
        assert text_of(processor, again) == text.replace("what", "when")


def test_special_tokens_stand_round_each_medium(tiny_spec, tiny_tokenizer, tiny_image):
    spec = tiny_spec(template="llava_v1", around=("<im_start>", "<im_end>"))
    processor = Processor(spec, tiny_tokenizer("<im_start>", "<im_end>"))
    one = Example(
        id="x", media=(tiny_image(30, 30),) * 2, turns=(user("<image>\nQ1"), assistant("A1"), user("<image>"))
    )
    prepared = processor.prepare(one)
    count = prepared.plans[0].num_tokens
    medium = f"<im_start><{count}><im_end>"
    assert text_of(processor, prepared).endswith(f" USER: {medium}\nQ1 ASSISTANT: A1</s>USER: {medium} ASSISTANT:")
    start = processor.tokenizer.token_to_id("<im_start>")
    assert prepared.prompt.ids.count(start) == 2
    with pytest.raises(ValueError, match=r"expected '<im_start>' round a medium to be one token, got \["):
        Processor(spec, tiny_tokenizer())


def test_images_shrink_evenly_into_a_budget(processor, tiny_image):
    turns = (user("<image>\n<image>\nwhat?"),)
    one = Example(id="x", media=(tiny_image(80, 60), tiny_image(300, 60)), turns=turns)
    own = processor.prepare(one)
    text = len(own.prompt.ids) - own.num_visual
    assert processor.text_tokens(one) == text
    fitted = processor.prepare(one, budget=text + own.num_visual - 1)
    assert fitted.num_visual < own.num_visual
    assert processor.prepare(one, budget=text + own.num_visual).plans == own.plans
    # the same tiles are encoded, at fewer tokens
    assert fitted.pixels_NCHW.shape == own.pixels_NCHW.shape
    smallest = processor.prepare(one, budget=text + 30)
    assert len(smallest.prompt.ids) <= text + 30
    with pytest.raises(ValueError, match=r"example x: budget of 3 tokens for 2 images: the smallest total possible is"):
        processor.prepare(one, budget=text + 3)


def test_clips_keep_their_tokens_and_images_get_what_they_leave(processor, tiny_image, tiny_clip):
    turns = (user("<image>\n<image>\nwhat?"),)
    one = Example(id="x", media=(tiny_clip(3, 50, 50), tiny_image(80, 60)), turns=turns)
    own = processor.prepare(one)
    text = len(own.prompt.ids) - own.num_visual
    fitted = processor.prepare(one, budget=text + own.num_visual - 5)
    assert fitted.plans[0] == own.plans[0]
    assert fitted.num_visual <= own.num_visual - 5
    with pytest.raises(ValueError, match=rf"text needs {text} and clips 6; a single clip of 1 frame\(s\) fits"):
        processor.prepare(one, budget=text + 3)


def test_a_clip_over_the_budget_is_refused(processor, tiny_clip):
    one = Example(id="x", media=(tiny_clip(6, 50, 50),), turns=(user("<image>\nwhat?"),))
    text = processor.text_tokens(one)
    video = VideoSpec(pool=1, pool_mode="none", end="no_token")
    # nine tokens a frame
    assert processor.prepare(one, video=video, budget=text + 54).num_visual == 54
    with pytest.raises(ValueError, match=rf"text needs {text} and clips 54; a single clip of 5 frame\(s\) fits"):
        processor.prepare(one, video=video, budget=text + 53)
    with pytest.raises(ValueError, match=rf"budget of 3 tokens: text needs {text} and clips 54; a single clip of 0 "):
        processor.prepare(one, video=video, budget=3)
