"""Generation: the tokens that transformers writes, stop strings row by row, draws that follow their generator."""

import pytest
import torch

from models.example import Example, Turn
from models.generation import Sampling, choose


def question(*media, text="What?"):
    return Example(id=text, media=media, turns=(Turn(role="user", text="<image>\n" * len(media) + text),))


def mixed(tiny_image, tiny_clip):
    return [
        question(tiny_image(80, 60)),
        question(tiny_clip(2, 50, 40), text="When was that?"),
        question(text="No picture at all."),
        question(tiny_image(20, 90), tiny_clip(3, 60, 30), tiny_image(42, 42), text="All?"),
    ]


def test_greedy_ids_are_those_that_transformers_writes(built, tiny_image, tiny_clip):
    model, processor = built()
    batch = processor.batch(mixed(tiny_image, tiny_clip))
    left = batch.left_padded()
    with torch.no_grad():
        theirs = model.llm.generate(
            inputs_embeds=model.embed(left),
            attention_mask=left.attention_BL,
            max_new_tokens=8,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    assert model.generate(batch, 8).tolist() == theirs.tolist()


def test_a_batch_of_mixed_media_is_answered_as_one_by_one(built, tiny_image, tiny_clip):
    model, processor = built()
    examples = mixed(tiny_image, tiny_clip)
    batch = processor.batch(examples)
    together = model.generate(batch, 8)
    with torch.no_grad():
        logits = model(batch).logits
    for row, one in enumerate(examples):
        alone = processor.batch([one])
        assert model.generate(alone, 8)[0].tolist() == together[row].tolist()
        with torch.no_grad():
            separate = model(alone).logits[0]
        torch.testing.assert_close(logits[row, : len(separate)], separate, rtol=0, atol=1e-5)


def test_each_row_stops_by_itself_at_a_string_of_several_tokens(built, tiny_image, tiny_clip):
    model, processor = built(template="llava_v0")
    batch = processor.batch(mixed(tiny_image, tiny_clip))
    free = model.generate(batch, 10)
    texts = [processor.tokenizer.decode(row, skip_special_tokens=False) for row in free.tolist()]
    # two characters that the first row writes in its middle, one that the second does
    stop = (texts[0][3:5], texts[1][5:7])
    ended = model.generate(batch, 10, stopped=processor.stopper(stop)).tolist()
    for row, text in zip(ended, texts, strict=True):
        expected = text[: min((text.find(one) for one in stop if one in text), default=len(text))]
        assert processor.decode(row, stop) == without_specials(processor, expected)
    assert len(processor.written(ended[0], stop)) < 10
    # filled after its end
    assert set(ended[0][len(processor.written(ended[0], stop)) :]) <= {0}


def without_specials(processor, text):
    for token in ("<s>", "</s>", "<unk>", "<pad>"):
        text = text.replace(token, "")
    return text.strip()


def test_stop_strings_across_tokens_and_beside_the_stop_id(built):
    _, processor = built()
    ids = processor.encode(" Red, so it is. END of it")
    stopped = processor.stopper(["END", "nowhere"])
    assert [stopped(ids[:n]) for n in (1, len(ids) - 7, len(ids) - 6)] == [False, False, True]
    assert processor.decode(ids, ["END", "nowhere"]) == "Red, so it is."
    assert processor.decode([*ids[:4], 1, *ids[4:]], ["END"]) == "Red"
    assert processor.stopper() is None
    with pytest.raises(ValueError, match="stop: expected strings of at least one character"):
        processor.stopper([""])


def test_a_special_token_may_be_part_of_a_stop_string(built):
    _, processor = built()
    ids = [*processor.encode("Yes"), 2, *processor.encode("\nmore")]
    assert processor.decode(ids, ["<unk>\n"]) == "Yes"


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(4000, -1)
    generator = torch.Generator().manual_seed(0)
    for top_p, kept in ((0.4, {0}), (0.6, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})):
        drawn = choose(logits, Sampling(temperature=1.0, top_p=top_p, generator=generator))
        assert set(drawn.tolist()) == kept
    share = (choose(logits, Sampling(temperature=1.0, top_p=0.6, generator=generator)) == 0).float().mean()
    # 0.5 of 0.8; three standard errors of 4,000 draws
    assert abs(share.item() - 0.625) < 0.025


def test_a_low_temperature_is_greedy():
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(1))
    sampling = Sampling(temperature=1e-4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(logits, sampling), logits.argmax(-1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature: expected at least 0, got -1.0"),
        ({"temperature": 1.0}, "needs a torch.Generator"),
        ({"top_p": 0.0}, "top_p: expected more than 0 and at most 1, got 0.0"),
    ],
)
def test_settings_that_cannot_be_meant(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)


def test_one_row_at_a_time_is_streamed(built):
    model, processor = built()
    with pytest.raises(ValueError, match="a streamer follows one row, the batch has 2"):
        model.generate(processor.batch([question(text="a"), question(text="b")]), 2, streamer=object())
