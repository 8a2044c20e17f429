"""Chat templates written for transformers give the text of our own templates."""

import jinja2
import pytest
from transformers import PreTrainedTokenizerFast

from models.checkpoints.chat_template import chat_template
from models.example import Turn
from models.prompt.templates import TEMPLATES

CHATS = sorted(name for name, template in TEMPLATES.items() if not template.media_only)
TURNS = (
    ("user", '<image>\n<image>\nWhich "one"?\n'),
    ("assistant", " The {{ first }} \\ one."),
    ("user", "And this? <image>\n"),
    ("assistant", "No."),
    ("user", "Why?"),
)


def messages(count):
    """Return the same turns as messages, with text or with parts."""
    parts = [
        [{"type": "image"}, {"type": "image"}, {"type": "text", "text": 'Which "one"?\n'}],
        [{"type": "text", "text": " The {{ first }} \\ one."}],
        [{"type": "text", "text": "And this? "}, {"type": "image"}],
        "No.",
        "Why?",
    ]
    return [{"role": role, "content": part} for (role, _), part in zip(TURNS[:count], parts, strict=False)]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer("<image>"))


@pytest.mark.parametrize("name", CHATS)
def test_the_same_text_for_any_number_of_turns(tokenizer, name):
    jinja = chat_template(TEMPLATES[name])
    for count in range(1, len(TURNS) + 1):
        turns = tuple(Turn(role=role, text=text) for role, text in TURNS[:count])
        asks = count % 2 == 1
        found = tokenizer.apply_chat_template(
            messages(count), chat_template=jinja, tokenize=False, add_generation_prompt=asks
        )
        assert found == TEMPLATES[name].render(turns, add_generation_prompt=asks).text


def test_text_stands_round_media_and_clips_have_their_own_name(tokenizer):
    jinja = chat_template(TEMPLATES["vicuna_v1"], around=("<im_start>", "<im_end>"))
    content = [{"type": "image"}, {"type": "video"}, {"type": "text", "text": "Which?"}]
    found = tokenizer.apply_chat_template([{"role": "user", "content": content}], chat_template=jinja, tokenize=False)
    assert found.endswith("USER: <im_start><image><im_end>\n<im_start><video><im_end>\nWhich? ")


def test_other_roles_are_refused(tokenizer):
    jinja = chat_template(TEMPLATES["qwen_1_5"])
    for roles in (["system", "user"], ["user", "user"], ["assistant"]):
        turns = [{"role": role, "content": "x"} for role in roles]
        with pytest.raises(jinja2.exceptions.TemplateError, match="expected turns of user, assistant, user"):
            tokenizer.apply_chat_template(turns, chat_template=jinja, tokenize=False)


def test_a_caption_template_has_none():
    with pytest.raises(ValueError, match="plain: a caption template has no turns"):
        chat_template(TEMPLATES["plain"])
