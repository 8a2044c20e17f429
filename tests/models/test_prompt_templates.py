"""Every template renders the exact string of its release; the strings are those of the released conversation code."""

import hashlib

import pytest

from models.example import Turn
from models.prompt import vicuna_v0
from models.prompt.template import place_media
from models.prompt.templates import TEMPLATES, template

USER = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
VISION = (
    "You are a helpful language and vision assistant. "
    "You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
MPT = "A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers."
QWEN = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nQ1<|im_end|>\n"
QWEN_2_5 = QWEN.replace("You are a", "You are Qwen, created by Alibaba Cloud. You are a")
DIRECT = "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nQ1<|im_end|>"
ORCA = DIRECT.replace(
    "Answer the questions.",
    "You are MistralOrca, a large language model trained by Alignment Lab AI. "
    "Write out your reasoning step-by-step to be sure you get the right answers!",
)
EXAMPLE = (
    "Human: What are the key differences between renewable and non-renewable energy sources?"
    f"###Assistant: {vicuna_v0.ANSWER}"
)
LLAMA_3 = (
    f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{VISION}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n<image>\nQ1<|eot_id|>"
)
LLAMA_3_BOT = "<|start_header_id|>assistant<|end_header_id|>\n\n"

# name: (the prompt for one question, what follows up to the second answer, the end of the whole dialogue)
EXPECTED = {
    "vicuna_v1": (f"{USER} USER: <image>\nQ1 ASSISTANT:", " A1</s>USER: Q2 ASSISTANT:", " A2</s>"),
    "llava_v1": (f"{HUMAN} USER: <image>\nQ1 ASSISTANT:", " A1</s>USER: Q2 ASSISTANT:", " A2</s>"),
    "llava_v0": (f"{HUMAN}###Human: <image>\nQ1###Assistant:", " A1###Human: Q2###Assistant:", " A2###"),
    "v0": (
        f"{HUMAN}###{EXAMPLE}###Human: <image>\nQ1###Assistant:",
        " A1###Human: Q2###Assistant:",
        " A2###",
    ),
    "llava_llama_2": (
        f"[INST] <<SYS>>\n{VISION}\n<</SYS>>\n\n<image>\nQ1 [/INST]",
        " A1 </s><s>[INST] Q2 [/INST]",
        " A2 </s>",
    ),
    "mistral_instruct": ("[INST] <image>\nQ1 [/INST]", " A1 </s>[INST] Q2 [/INST]", " A2 </s>"),
    "mistral_zephyr": (
        "<|system|>\nYou are a helpful AI assistant.</s><|user|>\n<image>\nQ1</s><|assistant|>\n",
        "A1</s><|user|>\nQ2</s><|assistant|>\n",
        "A2</s>",
    ),
    "chatml_direct": (
        f"{DIRECT}<|im_start|>assistant\n",
        "A1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n",
        "A2<|im_end|>",
    ),
    "mistral_direct": (
        f"{DIRECT}<|im_start|>assistant\n",
        "A1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n",
        "A2<|im_end|>",
    ),
    "mistral_orca": (
        f"{ORCA}<|im_start|>assistant\n",
        "A1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n",
        "A2<|im_end|>",
    ),
    "mpt": (
        f"<|im_start|>system\n{MPT}<|im_end|><|im_start|>user\n<image>\nQ1<|im_end|><|im_start|>assistant\n",
        "A1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n",
        "A2<|im_end|>",
    ),
    "qwen_1_5": (
        f"{QWEN}<|im_start|>assistant\n",
        "A1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n",
        "A2<|im_end|>\n",
    ),
    "qwen_2": (
        f"{QWEN}<|im_start|>assistant\n",
        "A1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n",
        "A2<|im_end|>\n",
    ),
    "qwen_2_5": (
        f"{QWEN_2_5}<|im_start|>assistant\n",
        "A1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n",
        "A2<|im_end|>\n",
    ),
    "llava_llama_3": (
        LLAMA_3 + LLAMA_3_BOT,
        f"A1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ2<|eot_id|>{LLAMA_3_BOT}",
        "A2<|eot_id|>",
    ),
    "gemma_instruct": (
        "<start_of_turn>user\n<image>\nQ1<end_of_turn>\n<start_of_turn>model\n",
        "A1<end_of_turn>\n<start_of_turn>user\nQ2<end_of_turn>\n<start_of_turn>model\n",
        "A2<end_of_turn>\n",
    ),
    "pocket": ("<user> <image>\nQ1 <assistant>", " A1 <end> <user> Q2 <assistant>", " A2 <end>"),
}

TURNS = (
    Turn(role="user", text="<image>\nQ1"),
    Turn(role="assistant", text="A1"),
    Turn(role="user", text="Q2"),
    Turn(role="assistant", text="A2"),
)


def test_every_template_is_tested() -> None:
    assert set(TEMPLATES) == {*EXPECTED, "plain"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_exact_strings(name: str) -> None:
    first, second, end = EXPECTED[name]
    chat = template(name)
    assert chat.render(TURNS[:1], add_generation_prompt=True).text == first
    assert chat.render(TURNS[:3], add_generation_prompt=True).text == first + second
    assert chat.render(TURNS, add_generation_prompt=False).text == first + second + end


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_trained_spans_are_the_answers_and_their_ends(name: str) -> None:
    first, second, end = EXPECTED[name]
    rendered = template(name).render(TURNS, add_generation_prompt=False)
    # what follows the prompt, up to where the next user turn begins
    close = template(name).answer_close
    answers = [rendered.text[span.start : span.stop] for span in rendered.trained]
    assert answers == [second[: second.index(close) + len(close)], end]
    assert rendered.trained[0].start == len(first)


def test_the_example_of_v0_is_the_released_one() -> None:
    # of the string as the released conversation code has it
    digest = hashlib.sha256(vicuna_v0.ANSWER.encode()).hexdigest()
    assert digest == "29c0f588aa19dd652ecdbf8232a0bc4d15f087000ce6512fd8b0a5ac4605bad3"
    assert vicuna_v0.ANSWER.endswith("lead to economic and social instability.\n")


def test_a_question_alone_trains_nothing() -> None:
    assert template("vicuna_v1").render(TURNS[:1], add_generation_prompt=True).trained == ()


def test_plain_is_image_and_caption() -> None:
    turns = (Turn(role="user", text="Describe the photo.\n<image>"), Turn(role="assistant", text="a cat"))
    rendered = template("plain").render(turns, add_generation_prompt=False)
    assert rendered.text == "<image>a cat\n"
    assert [rendered.text[s.start : s.stop] for s in rendered.trained] == ["a cat\n"]
    with pytest.raises(ValueError, match=r"plain: expected one pair of medium and caption, got 4 turns"):
        template("plain").render((*turns, *turns), add_generation_prompt=False)
    with pytest.raises(ValueError, match=r"plain: expected <image> in the user turn, got 'Q2'"):
        template("plain").render((TURNS[2], TURNS[1]), add_generation_prompt=False)


def test_llama_3_strips_messages() -> None:
    turns = (Turn(role="user", text=" <image>\nQ1 "), Turn(role="assistant", text="A1\n"))
    expected = f"{LLAMA_3}{LLAMA_3_BOT}A1<|eot_id|>"
    assert template("llava_llama_3").render(turns, add_generation_prompt=False).text == expected


@pytest.mark.parametrize(
    ("turns", "generation", "message"),
    [
        ((), True, "expected turns user, assistant, user, ..., got none"),
        (TURNS[1:], False, "got assistant, user, assistant"),
        ((TURNS[0], TURNS[0]), True, "got user, user"),
        (TURNS, True, "the last turn is an answer"),
    ],
)
def test_turns_must_alternate(turns: tuple[Turn, ...], generation: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        template("qwen_2").render(turns, add_generation_prompt=generation)


def test_unknown_template_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"template: expected one of chatml_direct, .*, vicuna_v1, got 'vicuna'"):
        template("vicuna")


def test_stop_strings() -> None:
    assert template("vicuna_v1").stop == "</s>"
    assert template("qwen_1_5").stop == "<|im_end|>"
    assert template("llava_llama_3").stop == "<|eot_id|>"
    assert template("plain").stop == ""


def test_place_media() -> None:
    assert place_media("what?", 0) == "what?"
    assert place_media("what?", 2) == "<image>\n<image>\nwhat?"
