"""Placeholders become positions, answers become labels, and nothing is guessed when the numbers differ."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from models.example import Turn
from models.pocket.tokenizer import build_tokenizer
from models.prompt.expand import expand
from models.prompt.positions import IGNORED, PromptPlan
from models.prompt.template import Rendered, Span
from models.prompt.templates import template

SAMPLE = (
    "A chat between a curious user and an artificial intelligence assistant. USER: what is in the image? ASSISTANT: "
    "a red cat and two dogs [INST] user assistant system You are a helpful assistant. The answer to that is a house.\n"
)
SPECIALS = ["<unk>", "<s>", "</s>", "<image>", "<|im_start|>", "<|im_end|>"]
BOS, EOS, IMAGE = 1, 2, 3


def trained(tokenizer: Tokenizer, alphabet: list[str]) -> Tokenizer:
    trainer = BpeTrainer(vocab_size=400, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([SAMPLE] * 4, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def llama() -> Tokenizer:
    """A sentencepiece-like tokenizer as transformers makes them: a dummy space at the very beginning of a text only."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="first", split=True)
    return trained(tokenizer, [chr(code) for code in range(32, 127)] + ["\n", "\u2581"])


@pytest.fixture(scope="module")
def llama_legacy() -> Tokenizer:
    """The older conversion: a dummy space before every piece of text, also behind special tokens."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer = trained(tokenizer, [chr(code) for code in range(32, 127)] + ["\n", "\u2581"])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    return tokenizer


@pytest.fixture(scope="module")
def qwen() -> Tokenizer:
    """A byte-level tokenizer without BOS."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def encoder(tokenizer: Tokenizer) -> Callable[[str], list[int]]:
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def dialogue(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(role="assistant" if i % 2 else "user", text=text) for i, text in enumerate(texts))


def learned(tokenizer: Tokenizer, plan: PromptPlan) -> str:
    return tokenizer.decode([label for label in plan.labels if label != IGNORED], skip_special_tokens=False)


def official_ids(text: str, tokenizer: Tokenizer, num_tokens: list[int], bos: int | None) -> list[int]:
    """The released rule in its own words: each piece with its own BOS, one BOS kept, pieces joined by images."""
    chunks = [([] if bos is None else [bos]) + encoder(tokenizer)(piece) for piece in text.split("<image>")]
    offset = 0 if bos is None else 1
    ids = chunks[0][:offset]
    for index, chunk in enumerate(chunks):
        ids += chunk[offset:]
        ids += [IMAGE] * (num_tokens[index] if index < len(num_tokens) else 0)
    return ids


def test_ids_follow_the_released_rule(llama: Tokenizer, llama_legacy: Tokenizer, qwen: Tokenizer) -> None:
    turns = dialogue("<image>\nwhat is in the image?", "a red cat", "<image> and <image>?", "two dogs")
    for tokenizer, bos, name in (
        (llama, BOS, "vicuna_v1"),
        (llama_legacy, BOS, "mistral_instruct"),
        (qwen, None, "qwen_1_5"),
    ):
        rendered = template(name).render(turns, add_generation_prompt=False)
        plan = expand(rendered, [5, 2, 3], encode=encoder(tokenizer), image_id=IMAGE, bos_id=bos)
        assert list(plan.ids) == official_ids(rendered.text, tokenizer, [5, 2, 3], bos)


def test_transformers_rule_tokenises_the_whole_string(
    llama: Tokenizer, llama_legacy: Tokenizer, qwen: Tokenizer
) -> None:
    rendered = template("vicuna_v1").render(dialogue("<image>\nwhat?"), add_generation_prompt=True)
    for tokenizer, bos in ((llama, BOS), (llama_legacy, BOS), (qwen, None)):
        plan = expand(rendered, [4], encode=encoder(tokenizer), image_id=IMAGE, bos_id=bos, tokenization="transformers")
        # as transformers' processors do: repeat the placeholder in the text, then tokenise once
        repeated = encoder(tokenizer)(rendered.text.replace("<image>", "<image>" * 4))
        assert list(plan.ids) == ([] if bos is None else [bos]) + repeated
        assert [v for v in plan.visual if v >= 0] == [0, 1, 2, 3]


def test_the_two_rules_differ_where_a_dummy_space_is_prepended(llama: Tokenizer, llama_legacy: Tokenizer) -> None:
    rendered = Rendered(text="user <image>\nwhat")
    both = {}
    for name, tokenizer in (("new", llama), ("legacy", llama_legacy)):
        for rule in ("official", "transformers"):
            plan = expand(rendered, [1], encode=encoder(tokenizer), image_id=IMAGE, bos_id=BOS, tokenization=rule)
            both[name, rule] = [tokenizer.id_to_token(id) for id in plan.ids]
    behind = {key: tokens[tokens.index("<image>") + 1] for key, tokens in both.items()}
    assert behind["new", "transformers"].startswith("\n")
    assert behind["new", "official"].startswith("\u2581")
    assert both["legacy", "official"] == both["legacy", "transformers"]
    assert behind["legacy", "official"].startswith("\u2581")


def test_visual_index_runs_through_all_media() -> None:
    plan = expand(
        Rendered(text="a<image>b<image>"), [2, 3], encode=lambda text: [ord(c) for c in text], image_id=7, bos_id=None
    )
    assert plan.ids == (97, 7, 7, 98, 7, 7, 7)
    assert plan.visual == (-1, 0, 1, -1, 2, 3, 4)
    assert plan.labels == (IGNORED,) * 7


@pytest.mark.parametrize("rule", ["official", "transformers"])
def test_labels_are_the_answers_and_their_ends(llama: Tokenizer, qwen: Tokenizer, rule: str) -> None:
    turns = dialogue("<image>\nwhat is in the image?", "a red cat", "what is that?", "two dogs")
    for tokenizer, bos, name, expected in (
        (llama, BOS, "vicuna_v1", "a red cat</s> two dogs</s>"),
        (llama, BOS, "mistral_instruct", "a red cat </s> two dogs </s>"),
        (qwen, None, "qwen_1_5", "a red cat<|im_end|>\ntwo dogs<|im_end|>\n"),
        (qwen, None, "chatml_direct", "a red cat<|im_end|>two dogs<|im_end|>"),
    ):
        rendered = template(name).render(turns, add_generation_prompt=False)
        plan = expand(rendered, [3], encode=encoder(tokenizer), image_id=IMAGE, bos_id=bos, tokenization=rule)
        assert learned(tokenizer, plan) == expected
        assert all(label in (IGNORED, id) for label, id in zip(plan.labels, plan.ids, strict=True))


def test_v1_labels_follow_the_released_arithmetic(llama: Tokenizer) -> None:
    """Released: BOS masked, then per round mask as many tokens as the instruction has, train the rest of the round."""
    encode = encoder(llama)
    rendered = template("vicuna_v1").render(dialogue("what is it?", "a cat", "and that?", "a dog"), False)
    plan = expand(rendered, [], encode=encode, image_id=IMAGE, bos_id=BOS)
    expected = [IGNORED]
    for index, part in enumerate(rendered.text.split("</s>")[:-1]):
        instruction, answer = part.split("ASSISTANT:")
        # the dummy space exists in front of the first round only
        prefix = encode(instruction + "ASSISTANT:") if index == 0 else encode("</s>" + instruction + "ASSISTANT:")[1:]
        expected += [IGNORED] * len(prefix) + encode("</s>" + answer)[1:] + [EOS]
    assert list(plan.labels) == expected


def test_plain_caption(llama: Tokenizer) -> None:
    turns = dialogue("<image>", "a red cat")
    rendered = template("plain").render(turns, add_generation_prompt=False)
    plan = expand(rendered, [2], encode=encoder(llama), image_id=IMAGE, bos_id=BOS)
    assert plan.ids[:3] == (BOS, IMAGE, IMAGE) and plan.labels[:3] == (IGNORED,) * 3
    assert learned(llama, plan) == "a red cat\n"


def test_one_bos_even_when_the_text_brings_it() -> None:
    encode = lambda text: [BOS if c == "^" else ord(c) for c in text]
    for text in ("^ab", "ab"):
        assert expand(Rendered(text=text), [], encode=encode, image_id=7, bos_id=BOS).ids == (BOS, 97, 98)
    # a placeholder at the very beginning: BOS first all the same
    assert expand(Rendered(text="<image>"), [1], encode=encode, image_id=7, bos_id=BOS).ids == (BOS, 7)


def test_a_token_across_the_beginning_of_an_answer_is_trained() -> None:
    # a tokenizer of character pairs: "b" of the prompt and "c" of the answer share a token
    pairs = lambda text: [hash_pair(text[i : i + 2]) for i in range(0, len(text), 2)]
    plan = expand(Rendered(text="abcd", trained=(Span(3, 4),)), [], encode=pairs, image_id=7, bos_id=None)
    assert plan.labels == (IGNORED, hash_pair("cd"))
    plan = expand(Rendered(text="abcdef", trained=(Span(2, 3),)), [], encode=pairs, image_id=7, bos_id=None)
    # ... and one across the end is not
    assert plan.labels == (IGNORED, IGNORED, IGNORED)


def hash_pair(text: str) -> int:
    return sum(ord(c) << (8 * i) for i, c in enumerate(text))


def test_numbers_that_differ_are_named() -> None:
    encode = lambda text: [ord(c) for c in text]
    with pytest.raises(ValueError, match=r"prompt has 2 <image> placeholder\(s\) for 1 image\(s\) or clip\(s\)"):
        expand(Rendered(text="<image><image>"), [4], encode=encode, image_id=7, bos_id=None)
    with pytest.raises(ValueError, match=r"prompt has 0 <image> placeholder\(s\) for 1 "):
        expand(Rendered(text="no medium"), [4], encode=encode, image_id=7, bos_id=None)
    with pytest.raises(ValueError, match=r"gives the image id 7 0 time\(s\) for 1 placeholder\(s\)"):
        expand(Rendered(text="<image>"), [4], encode=encode, image_id=7, bos_id=None, tokenization="transformers")


def test_context_is_checked_and_both_numbers_are_named() -> None:
    encode = lambda text: [ord(c) for c in text]
    rendered = Rendered(text="abc<image>")
    assert len(expand(rendered, [5], encode=encode, image_id=7, bos_id=BOS, context=9).ids) == 9
    with pytest.raises(
        ValueError, match=r"prompt needs 10 positions \(6 visual, 4 text\), but the model reads at most 9"
    ):
        expand(rendered, [6], encode=encode, image_id=7, bos_id=BOS, context=9)


pieces = st.lists(
    st.sampled_from(["<image>", "<imag", "e>", "<|im_start|>", "</s>", "\n", " ", "cat", "<<image>>", "\u2581", "7"])
)


@settings(max_examples=60, deadline=None)
@given(text=pieces, media=st.integers(0, 3))
def test_text_never_makes_or_loses_a_visual_slot(llama: Tokenizer, text: list[str], media: int) -> None:
    joined = "".join(text)
    for rule in ("official", "transformers"):
        try:
            plan = expand(
                Rendered(text=joined), [3] * media, encode=encoder(llama), image_id=IMAGE, bos_id=BOS, tokenization=rule
            )
        except ValueError as error:
            assert joined.count("<image>") != media, error
            continue
        assert [v for v in plan.visual if v >= 0] == list(range(3 * media))


def test_the_pocket_template_spells_the_sequence_that_the_pocket_model_learns() -> None:
    tokenizer = build_tokenizer()
    turns = dialogue("<image>\nwhat is the first word?", "cat", "what color is the star?", "red")
    rendered = template("pocket").render(turns, add_generation_prompt=False)
    plan = expand(rendered, [1], encode=encoder(tokenizer), image_id=tokenizer.token_to_id("<image>"), bos_id=None)
    words = [tokenizer.id_to_token(id) for id in plan.ids]
    asked = "<user> <image> what is the first word ? <assistant> cat <end> <user> what color is the star ? <assistant>"
    assert words == [*asked.split(), "red", "<end>"]
    learned_words = [tokenizer.id_to_token(id) for id in plan.labels if id != IGNORED]
    assert learned_words == ["cat", "<end>", "red", "<end>"]
