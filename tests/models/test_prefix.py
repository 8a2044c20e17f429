"""What prompts begin with alike is read once: same logits, same texts, fewer positions read."""

from dataclasses import replace

import pytest
import torch

from models.example import Example, Turn
from models.prefix import common

LLMS = {
    "llama": {},
    "qwen2": {"model_type": "qwen2"},
    "mistral": {"model_type": "mistral", "sliding_window": None},
}
QUESTIONS = ("What?", "Where is the second of them, then?", "Who is it?")


def question(media, text):
    return Example(id=text, media=media, turns=(Turn(role="user", text="<image>\n" * len(media) + text),))


def questions(processor, media, texts=QUESTIONS):
    first = processor.prepare(question(media, texts[0]))
    return processor.collate([processor.reprompt(first, question(media, text)) for text in texts])


class Count:
    """Counts calls of the encoder, and the positions that the language model reads."""

    def __init__(self, model):
        self.encoded, self.read = 0, []
        self.hooks = [
            model.encoder.register_forward_hook(self.on_encoder),
            model.llm.register_forward_pre_hook(self.on_llm, with_kwargs=True),
        ]

    def on_encoder(self, module, given, output):
        self.encoded += 1

    def on_llm(self, module, given, named):
        self.read.append(tuple(named["inputs_embeds"].shape[:2]))


@pytest.mark.parametrize("kind", sorted(LLMS))
def test_logits_and_greedy_ids_behind_a_prefix_are_those_of_separate_runs(built, tiny_image, tiny_clip, kind):
    model, processor = built(llm=LLMS[kind])
    media = (tiny_image(80, 60), tiny_clip(2, 50, 40))
    batch = questions(processor, media)
    prefix = model.prefix(batch)
    assert prefix.length == common(batch) > 40
    with torch.no_grad():
        continued = model(batch, prefix=prefix).logits
    written = model.generate(batch, 6, prefix=prefix)
    # the prefix is as it was: a second use gives the same
    assert torch.equal(model.generate(batch, 6, prefix=prefix), written)
    for row, text in enumerate(QUESTIONS):
        alone = processor.batch([question(media, text)])
        with torch.no_grad():
            separate = model(alone).logits[0, prefix.length :]
        torch.testing.assert_close(continued[row, : len(separate)], separate, rtol=0, atol=1e-4)
        assert written[row].tolist() == model.generate(alone, 6)[0].tolist()


def test_media_are_encoded_and_the_prefix_is_read_once(built, tiny_image):
    model, processor = built()
    batch = questions(processor, (tiny_image(80, 60),))
    length = batch.ids_BL.shape[1]
    count = Count(model)
    prefix = model.prefix(batch)
    model.generate(batch, 3, prefix=prefix)
    model.generate(batch, 3, prefix=prefix)
    assert count.encoded == 1
    own = (3, length - prefix.length)
    assert count.read == [(1, prefix.length), *[own, (3, 1), (3, 1)] * 2]


def test_media_behind_the_prefix_are_seen(built, tiny_image):
    model, processor = built()
    turns = lambda text: (Turn(role="user", text=f"<image>\nThe first. {text}\n<image>"),)
    examples = [
        Example(id=text, media=(tiny_image(80, 60), tiny_image(40, 90, 1)), turns=turns(text)) for text in ("And", "Or")
    ]
    first = processor.prepare(examples[0])
    batch = processor.collate([processor.reprompt(first, one) for one in examples])
    prefix = model.prefix(batch)
    with torch.no_grad():
        continued, whole = model(batch, prefix=prefix).logits, model(batch).logits
        features = model.encode(batch.pixels_NCHW)
    real = batch.attention_BL[:, prefix.length :].bool()
    assert (batch.visual_BL[:, prefix.length :] >= 0).any()
    torch.testing.assert_close(continued[real], whole[:, prefix.length :][real], rtol=0, atol=1e-4)
    count = Count(model)
    assert torch.equal(
        model.generate(batch, 4, prefix=prefix, features_NPE=features), model.generate(batch, 4, features_NPE=features)
    )
    assert count.encoded == 0


def test_a_prefix_that_is_not_the_beginning_is_refused(built, tiny_image):
    model, processor = built()
    media = (tiny_image(80, 60),)
    batch = questions(processor, media)
    prefix = model.prefix(batch)
    other = processor.batch([question(media, "What?"), question((tiny_image(120, 42),), "What?")])
    with pytest.raises(ValueError, match=r"prefix: row 1 differs at position \d+ of \d+"):
        model.generate(other, 2, prefix=prefix)
    short = replace(batch, attention_BL=batch.attention_BL.clone())
    short.attention_BL[:, prefix.length :] = 0
    with pytest.raises(ValueError, match=rf"prefix: a row has no more than the {prefix.length} positions"):
        model.generate(short, 2, prefix=prefix)


def test_rows_with_nothing_in_common_have_no_prefix(built):
    model, processor = built(template="mistral_instruct")
    batch = processor.batch([question((), "One"), question((), "Two")])
    batch.ids_BL[1, 0] = 5
    with pytest.raises(ValueError, match="the 2 rows of the batch begin with nothing in common"):
        model.prefix(batch)


def test_a_sliding_window_shorter_than_the_prompt(built, tiny_image):
    model, processor = built(llm={"model_type": "mistral", "sliding_window": 64})
    media = (tiny_image(80, 60),)
    batch = questions(processor, media, ("Who?", "How?"))
    written = model.generate(batch, 6, prefix=model.prefix(batch))
    assert written.tolist() == model.generate(batch, 6).tolist()
    # padding between prefix and question would count as positions of the window
    ragged = questions(processor, media)
    with pytest.raises(ValueError, match=r"prefix: rows of different length, .* and a sliding window of 64"):
        model.generate(ragged, 6, prefix=model.prefix(ragged))
