"""Label masks: our own, and those of the released training code, token by token for each template."""

import pytest

from models.example import Example, Turn
from models.processor import Processor
from models.prompt.labels import RELEASED

TURNS = (
    Turn(role="user", text="<image>\nQ1\nmore"),
    Turn(role="assistant", text="A1"),
    Turn(role="user", text="Q2"),
    Turn(role="assistant", text="A2\nend"),
)
CHATML = ("<|im_start|>", "<|im_end|>")
LLAMA_3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

# [x] is learned; the system message is cut from the front
EXPECTED = {
    ("released", "qwen_1_5"): "[<|im_start|>]system[\n]You are a helpful assistant.[<|im_end|>\n<|im_start|>]user[\n\n]"
    "Q1[\n]more[<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>]user[\n]Q2[<|im_end|>\n"
    "<|im_start|>assistant\nA2\nend<|im_end|>\n]",
    ("released_old", "qwen_1_5"): "[<|im_start|>]system\nYou are a helpful assistant.[<|im_end|>\n<|im_start|>]user\n\n"
    "Q1\nmore[<|im_end|>\n<|im_start|>]assistant\n[A1<|im_end|>\n<|im_start|>]user\nQ2[<|im_end|>\n"
    "<|im_start|>]assistant\n[A2\nend<|im_end|>\n]",
    ("released", "llava_llama_3"): "[<|eot_id|><|start_header_id|>]user[<|end_header_id|>]\n\n\nQ1\nmore[<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>]user[<|end_header_id|>]\n\nQ2"
    "[<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA2\nend<|eot_id|>]",
    ("released", "vicuna_v1"): " USER: \nQ1\nmore ASSISTANT:[ A1</s>]USER: Q2 ASSISTANT:[ A2\nend</s>]",
    ("released", "llava_llama_2"): "\nQ1\nmore [/INST][ A1 </s>]<s>[INST] Q2 [/INST][ A2\nend </s>]",
    ("released", "mistral_instruct"): "\nQ1\nmore [/INST][ A1 </s>][INST] Q2 [/INST][ A2\nend </s>]",
    ("released", "mpt"): "user\n\nQ1\nmore<|im_end|><|im_start|>assistant\n[A1<|im_end|>]<|im_start|>user\nQ2<|im_end|>"
    "<|im_start|>assistant\n[A2\nend<|im_end|>]",
    ("released", "chatml_direct"): "user\n\nQ1\nmore<|im_end|><|im_start|>assistant\n[A1<|im_end|>]<|im_start|>user\nQ2"
    "<|im_end|><|im_start|>assistant\n[A2\nend<|im_end|>]",
    ("answers", "qwen_1_5"): "user\n\nQ1\nmore<|im_end|>\n<|im_start|>assistant\n[A1<|im_end|>\n]<|im_start|>user\nQ2"
    "<|im_end|>\n<|im_start|>assistant\n[A2\nend<|im_end|>\n]",
    ("answers", "llava_llama_3"): "\nQ1\nmore<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[A1<|eot_id|>]"
    "<|start_header_id|>user<|end_header_id|>\n\nQ2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    "[A2\nend<|eot_id|>]",
}


@pytest.fixture
def processor(tiny_spec, tiny_tokenizer):
    def make(name, labels):
        tokenizer = tiny_tokenizer(*CHATML, *LLAMA_3)
        return Processor(tiny_spec(template=name), tokenizer, labels=labels)

    return make


def marked(processor, prepared):
    """Return the prompt without its visual tokens, what is learned in brackets."""
    text, open_ = "", False
    ids, labels, visual = prepared.prompt.ids, prepared.prompt.labels, prepared.prompt.visual
    for token, label, place in zip(ids, labels, visual, strict=True):
        assert label in (-100, token)
        assert place < 0 or label == -100
        if place >= 0:
            continue
        if (label != -100) != open_:
            text += "]" if open_ else "["
            open_ = not open_
        text += processor.tokenizer.decode([token], skip_special_tokens=False)
    return text + "]" * open_


@pytest.mark.parametrize(("labels", "name"), sorted(EXPECTED))
def test_what_is_learned(processor, tiny_image, labels, name):
    one = processor(name, labels)
    prepared = one.prepare(Example(id="x", media=(tiny_image(30, 30),), turns=TURNS))
    assert marked(one, prepared).endswith(EXPECTED[labels, name])


def test_llama_3_learns_its_first_token_and_the_headers_of_the_system_message(processor, tiny_image):
    one = processor("llava_llama_3", "released")
    text = marked(one, one.prepare(Example(id="x", media=(tiny_image(30, 30),), turns=TURNS)))
    assert text.startswith("<s>[<|begin_of_text|><|start_header_id|>]system[<|end_header_id|>]\n\nYou are")


def test_plain_learns_the_caption(processor, tiny_image):
    turns = (Turn(role="user", text="Describe: <image>"), Turn(role="assistant", text="a cat"))
    for labels in ("answers", "released"):
        one = processor("plain", labels)
        assert marked(one, one.prepare(Example(id="x", media=(tiny_image(30, 30),), turns=turns))) == "<s>[a cat\n]"


def test_a_released_sample_whose_rounds_do_not_add_up_is_masked_whole(processor):
    turns = (Turn(role="user", text="Say ASSISTANT: A"), Turn(role="assistant", text="A"))
    for labels, learned in (("released", 0), ("answers", len(" A") + 1)):
        prepared = processor("vicuna_v1", labels).prepare(Example(id="x", media=(), turns=turns))
        assert sum(label != -100 for label in prepared.prompt.labels) == learned
    turns = (turns[0], Turn(role="assistant", text="A</s>B"))
    prepared = processor("vicuna_v1", "released").prepare(Example(id="x", media=(), turns=turns))
    assert set(prepared.prompt.labels) == {-100}


def test_a_template_without_a_known_mask_is_named(processor):
    with pytest.raises(ValueError, match=r"labels=released: known for chatml_direct, .* not for the template 'pocket'"):
        processor("pocket", "released")
    assert "llava_v0" not in RELEASED


def test_a_marker_must_be_one_token(tiny_spec, tiny_tokenizer):
    with pytest.raises(ValueError, match=r"labels: expected '<\|im_start\|>' to be a single token"):
        Processor(tiny_spec(template="qwen_1_5"), tiny_tokenizer(), labels="released")
