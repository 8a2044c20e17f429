"""Logits and greedy text of a loaded llava-hf folder, against transformers' own model and processor."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from anyres.geometry import HW
from anyres.plan import plan_image
from models.build import load
from models.example import Example, Turn

PINPOINTS = [[42, 84], [84, 42], [84, 84], [126, 42], [42, 126]]
# (width, height): released examples in small, squares that tie, thin ones with an empty detail map, odd slack
SIZES = [
    (42, 42),
    (10, 10),
    (80, 60),
    (60, 80),
    (128, 112),
    (240, 135),
    (135, 240),
    (250, 62),
    (62, 250),
    (625, 12),
    (12, 625),
    (1, 125),
    (125, 1),
    (33, 38),
    (38, 33),
    (97, 101),
    (400, 400),
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, tiny_tokenizer, tiny_llm):
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer("<image>")
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=42,
        patch_size=14,
        projection_dim=16,
        initializer_range=0.5,
    )
    text = LlamaConfig(**{key: value for key, value in tiny_llm.items() if key != "model_type"})
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.token_to_id("<image>"),
        image_grid_pinpoints=PINPOINTS,
    )
    model = LlavaNextForConditionalGeneration(config).eval()
    processor = LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": 42}, crop_size={"height": 42, "width": 42}, image_grid_pinpoints=PINPOINTS
        ),
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
        ),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    folder = tmp_path_factory.mktemp("llava_hf")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor, folder


@pytest.fixture(scope="module")
def ours(theirs):
    return load(theirs[2])


def example(number, images, text):
    return Example(
        id=str(number), media=tuple(images), turns=(Turn(role="user", text="<image>\n" * len(images) + text),)
    )


def their_inputs(theirs, processor, examples):
    _, their_processor, _ = theirs
    prompts = [processor.template.render(one.turns, add_generation_prompt=True).text for one in examples]
    images = [list(one.media) for one in examples if one.media]
    return their_processor(text=prompts, images=images or None, padding=True, return_tensors="pt")


def assert_same_logits(parity, theirs, ours, examples):
    model, processor = ours
    inputs = their_inputs(theirs, processor, examples)
    batch = processor.batch(examples)
    assert torch.equal(inputs["attention_mask"], batch.attention_BL)
    at_text = batch.visual_BL < 0
    assert torch.equal(
        inputs["input_ids"][at_text & batch.attention_BL.bool()], batch.ids_BL[at_text & batch.attention_BL.bool()]
    )
    with torch.no_grad():
        expected, found = theirs[0](**inputs).logits, model(batch).logits
    real = batch.attention_BL.bool()
    parity("llava_next (clip, llama)", found[real], expected[real], len(examples))


@pytest.mark.parametrize("size", SIZES)
def test_one_image(parity, theirs, ours, tiny_image, size):
    assert_same_logits(parity, theirs, ours, [example(0, [tiny_image(*size)], "What is this?")])


def test_batch_of_many_sizes(parity, theirs, ours, tiny_image):
    examples = [example(i, [tiny_image(*size, seed=i)], "Which?" * (1 + i % 3)) for i, size in enumerate(SIZES)]
    assert_same_logits(parity, theirs, ours, examples)


def test_mix_of_no_one_and_several_images(parity, theirs, ours, tiny_image):
    images = [tiny_image(*size, seed=i) for i, size in enumerate([(80, 60), (10, 10), (62, 250), (300, 40)])]
    examples = [example(0, images[:1], "One."), example(1, images[1:], "Three: which?"), example(2, [], "None at all.")]
    assert_same_logits(parity, theirs, ours, examples)


def test_token_counts_of_many_sizes(theirs, ours):
    spec, random = ours[1].spec, np.random.default_rng(0)
    sizes = [HW(int(h), int(w)) for h, w in random.integers(1, 400, (3000, 2))]
    counted = theirs[1]._get_num_multimodal_tokens(image_sizes=[list(size) for size in sizes])["num_image_tokens"]
    assert [plan_image(size, spec.grid, spec.encoder.tile).num_tokens for size in sizes] == counted


def test_the_official_order_counts_differently_only_where_layouts_tie(theirs, ours):
    # the documented set: an image that fits a portrait and a landscape canvas unscaled, of any proportion but 1 : 1
    spec = ours[1].spec
    released = replace(spec.grid, tie_order="released", rounding="released")
    sizes = [HW(h, w) for h in range(1, 100, 3) for w in range(1, 100, 3)]
    counted = theirs[1]._get_num_multimodal_tokens(image_sizes=[list(size) for size in sizes])["num_image_tokens"]
    found = [plan_image(size, released, spec.encoder.tile).num_tokens for size in sizes]
    differing = {size for size, ours_, theirs_ in zip(sizes, found, counted, strict=True) if ours_ != theirs_}
    tied = {size for size in sizes if max(size) <= spec.encoder.tile_px}
    assert differing
    assert differing <= tied


@pytest.mark.parametrize("inner", ["", "vision_model."])
def test_names_inside_the_model_are_read_too(theirs, ours, tmp_path, inner):
    # transformers 4.52 and later wrote these, the tower with its inner name
    folder = tmp_path / "inner"
    shutil.copytree(theirs[2], folder)
    state = theirs[0].state_dict()
    renamed = {key.replace("model.vision_tower.", f"model.vision_tower.{inner}"): value for key, value in state.items()}
    save_file(renamed, folder / "model.safetensors")
    read, _ = load(folder)
    expected = ours[0].state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in read.state_dict().items())


def test_greedy_text_is_equal(theirs, ours, tiny_image):
    model, processor = ours
    examples = [example(i, [tiny_image(*size, seed=i)], "Say." * (i + 1)) for i, size in enumerate(SIZES[:6])]
    answers = model.generate(processor.batch(examples), 12, stop_ids=processor.stop_ids)
    their_model, their_processor, _ = theirs
    for one, ids in zip(examples, answers, strict=True):
        inputs = their_inputs(theirs, processor, [one])
        expected = their_model.generate(
            **inputs, max_new_tokens=12, do_sample=False, eos_token_id=processor.stop_ids[0], pad_token_id=3
        )[0, inputs["input_ids"].shape[1] :]
        assert processor.decode(ids) == their_processor.decode(expected, skip_special_tokens=True).strip()


def test_batched_equals_one_by_one(ours, tiny_image):
    model, processor = ours
    examples = [example(i, [tiny_image(*size, seed=i)], "Q" * (1 + 3 * i)) for i, size in enumerate(SIZES[:8])]
    batch = processor.batch(examples)
    with torch.no_grad():
        together = model(batch).logits
        for row, one in enumerate(examples):
            alone = model(processor.batch([one])).logits[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, rtol=0, atol=1e-5)


def test_the_logits_depend_on_the_image(ours, tiny_image):
    # the comparisons above would pass with a model that ignores its images
    model, processor = ours
    with torch.no_grad():
        first, other = (model(processor.batch([example(0, [tiny_image(80, 60, seed=s)], "?")])).logits for s in (1, 2))
    assert (first[0, -1] - other[0, -1]).abs().max() > 0.1
