"""From examples to batches: plans, padding, indices into the packed tokens, the token budget, decoding."""

from dataclasses import replace

import pytest
import torch

from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.plan import plan_image
from models.example import Example, Turn
from models.processor import Processor
from video.clip import VideoSpec


def example(*media, text="What?", answer=None, name="x"):
    turns = [Turn(role="user", text="<image>\n" * len(media) + text)]
    turns += [Turn(role="assistant", text=answer)] if answer is not None else []
    return Example(id=name, media=media, turns=tuple(turns))


@pytest.fixture
def processor(tiny_spec, tiny_tokenizer):
    return Processor(tiny_spec(), tiny_tokenizer())


def test_image_is_planned_from_its_size_as_height_width(processor, tiny_image):
    prepared = processor.prepare(example(tiny_image(250, 62)))
    assert prepared.plans == (plan_image(HW(62, 250), processor.spec.grid, processor.spec.encoder.tile),)
    # 1 overview tile and 1 x 3 detail tiles; 9 tokens and 2 or 3 rows of 9 with row ends
    assert prepared.pixels_NCHW.shape == (4, 3, 42, 42)
    assert prepared.num_visual == 9 + 3 * (9 + 1)


def test_exif_orientation_is_applied_before_planning(processor, tiny_image):
    turned = tiny_image(250, 62)
    turned.getexif()[0x0112] = 6
    assert processor.prepare(example(turned)).plans == (processor.plan(tiny_image(62, 250)),)


def test_a_call_may_replace_the_grid_and_the_clip_settings(processor, tiny_image, tiny_clip):
    only = GridSpec(layouts=(), overview="squash", merge="flat")
    assert processor.prepare(example(tiny_image(250, 62)), grid=only).num_visual == 9
    clip = tiny_clip(3, 80, 60)
    # 3 x 3 tokens average to 1 x 1, each row closed: 2 tokens a frame
    assert processor.prepare(example(clip)).num_visual == 6
    assert processor.prepare(example(clip), video=VideoSpec(pool=1, end="frame")).num_visual == 3 * 10


def test_batch_rows_index_their_own_tokens(processor, tiny_image, tiny_clip):
    examples = [example(tiny_image(80, 60)), example(text="None."), example(tiny_clip(2, 50, 40), tiny_image(20, 90))]
    prepared = [processor.prepare(one) for one in examples]
    batch = processor.collate(prepared)
    counts = [one.num_visual for one in prepared]
    assert counts[1] == 0
    assert batch.table.num_tokens == sum(counts)
    assert len(batch.pixels_NCHW) == sum(plan.num_tiles for one in prepared for plan in one.plans)
    visual = [row[row >= 0].tolist() for row in batch.visual_BL]
    assert visual == [list(range(counts[0])), [], list(range(counts[0], counts[0] + counts[2]))]
    assert (batch.visual_BL[batch.attention_BL == 0] == -1).all()
    assert batch.attention_BL.sum(-1).tolist() == [len(one.prompt.ids) for one in prepared]


def test_left_padding_moves_every_field_alike(processor, tiny_image):
    batch = processor.batch([example(tiny_image(80, 60), answer="Yes"), example(text="Short.", answer="No")])
    left = batch.left_padded()
    lengths = batch.attention_BL.sum(-1).tolist()
    assert left.attention_BL.tolist() == [[0] * (max(lengths) - n) + [1] * n for n in lengths]
    for field in ("ids_BL", "visual_BL", "labels_BL"):
        right_rows, left_rows = getattr(batch, field), getattr(left, field)
        for right, shifted, n in zip(right_rows, left_rows, lengths, strict=True):
            assert torch.equal(right[:n], shifted[len(shifted) - n :])


def test_only_the_answer_and_its_end_are_learned(processor, tiny_image):
    batch = processor.batch([example(tiny_image(30, 30), answer="Yes")])
    learned = batch.labels_BL[0][batch.labels_BL[0] != -100]
    assert processor.tokenizer.decode(learned.tolist(), skip_special_tokens=False) == " Yes</s>"


def test_a_prompt_beyond_the_context_names_both_numbers(tiny_spec, tiny_tokenizer, tiny_image):
    spec = tiny_spec()
    short = replace(spec, llm=replace(spec.llm, context=150))
    one = example(tiny_image(80, 60), name="page 7")
    needed = len(Processor(spec, tiny_tokenizer()).prepare(one).prompt.ids)
    with pytest.raises(ValueError, match=rf"example page 7: .*{needed} positions.*at most 150"):
        Processor(short, tiny_tokenizer()).prepare(one)
    # the factor makes room
    assert len(Processor(replace(short, rope_factor=2.0), tiny_tokenizer()).prepare(one).prompt.ids) == needed < 300


def test_placeholders_and_media_must_match(processor, tiny_image):
    one = Example(id="a", media=(tiny_image(9, 9),), turns=(Turn(role="user", text="No placeholder"),))
    with pytest.raises(ValueError, match=r"example a: .*0 .*placeholder.* for 1 image"):
        processor.prepare(one)


def test_several_images_are_padded_where_the_release_does(tiny_spec, tiny_tokenizer, tiny_image):
    processor = Processor(tiny_spec(several="pad"), tiny_tokenizer())
    alone = processor.prepare(example(tiny_image(80, 60)))
    both = processor.prepare(example(tiny_image(80, 60), tiny_image(60, 80)))
    assert alone.plans[0].num_tiles == 5
    # one view of 3 x 3 tokens and one end vector each
    assert [plan.num_tiles for plan in both.plans] == [1, 1]
    assert [plan.num_tokens for plan in both.plans] == [10, 10]
    assert {plan.canvases[0].fit for plan in both.plans} == {"pad_square"}
    asked = processor.prepare(example(tiny_image(80, 60), tiny_image(60, 80)), grid=processor.spec.grid)
    assert [plan.num_tiles for plan in asked.plans] == [5, 5]


def test_text_alone_has_no_tiles(processor):
    batch = processor.batch([example(text="Hello")])
    assert batch.pixels_NCHW.shape == (0, 3, 42, 42)
    assert batch.table.num_tokens == 0


def test_decode_stops_at_the_end_of_the_answer(processor):
    ids = [*processor.encode(" Red"), 1, *processor.encode("USER")]
    assert processor.stop_ids == (1,)
    assert processor.decode(ids) == "Red"
    assert processor.decode(torch.tensor(ids)) == "Red"


def test_a_stop_marker_of_several_tokens_cuts_the_text(tiny_spec, tiny_tokenizer):
    processor = Processor(tiny_spec(template="llava_v0"), tiny_tokenizer())
    assert processor.stop_ids == ()
    assert processor.decode(processor.encode(" Red###Human: and?")) == "Red"


def test_pooling_before_the_projector_refuses_resampled_images(tiny_spec, tiny_tokenizer, tiny_image, tiny_clip):
    processor = Processor(tiny_spec(video=VideoSpec(pool_before_projector=True, end="no_token")), tiny_tokenizer())
    copied, clip = example(tiny_image(80, 60)), example(tiny_clip(2, 50, 40))
    assert processor.batch([copied, clip]).pack_first
    shrunk = processor.prepare(example(tiny_image(80, 60)), grid=replace(processor.spec.grid, target_tok=8))
    with pytest.raises(ValueError, match="cannot share a batch with resampled images"):
        processor.collate([shrunk, processor.prepare(clip)])
    assert not processor.collate([shrunk]).pack_first


def test_transformers_tokenization_needs_the_placeholder_token(tiny_spec, tiny_tokenizer):
    with pytest.raises(ValueError, match="special token <image>"):
        Processor(tiny_spec(tokenization="transformers"), tiny_tokenizer())


def test_an_example_without_turns_is_named(processor, tiny_image):
    with pytest.raises(ValueError, match="example a: expected at least one turn"):
        processor.prepare(Example(id="a", media=(tiny_image(9, 9),), turns=()))
