"""Log-probabilities of answers: never positive, equal to a plain sum over one full pass, and the sign that counts."""

import math

import pytest
import torch

from models.build import build_model
from models.example import Example, Turn
from models.likelihood import answer_logprobs, logprobs
from models.logprob import LogProb, most_likely
from models.processor import Processor

ANSWERS = ("A", "B", "a long answer", "B")


@pytest.fixture(scope="module")
def world(tiny_spec, tiny_tokenizer, tiny_llm):
    torch.manual_seed(0)
    spec = tiny_spec()
    return build_model(spec, tiny_llm).eval(), Processor(spec, tiny_tokenizer())


def _example(tiny_image) -> Example:
    return Example(id="x", media=(tiny_image(90, 60),), turns=(Turn(role="user", text="<image>\nWhich?"),))


def test_equal_to_a_sum_over_a_pass_of_each_answer_alone(world, tiny_image) -> None:
    model, processor = world
    example = _example(tiny_image)
    found = answer_logprobs(model, processor, processor.prepare(example), example, ANSWERS)
    for answer, logprob in zip(ANSWERS, found, strict=True):
        whole = Example(id="x", media=example.media, turns=(*example.turns, Turn(role="assistant", text=answer)))
        batch = processor.collate([processor.prepare(whole)])
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(
                model(batch).logits[0, :-1].double(), batch.labels_BL[0, 1:], ignore_index=-100, reduction="sum"
            )
        # the loss is what wrappers elsewhere return in a log-probability's place: the sign is the other one
        assert logprob.total == pytest.approx(-float(loss), abs=1e-4)
        assert logprob.total < 0
        assert logprob.tokens == int((batch.labels_BL != -100).sum())
    assert found[1] == found[3]


def test_media_are_encoded_once_and_the_prompt_is_read_once(world, tiny_image, monkeypatch) -> None:
    model, processor = world
    example = _example(tiny_image)
    prepared = processor.prepare(example)
    encoded, read = [], []
    encode, forward = model.encoder.forward, model.llm.forward

    def counted_encode(pixels, *args, **kwargs):
        encoded.append(len(pixels))
        return encode(pixels, *args, **kwargs)

    def counted_forward(*args, **kwargs):
        read.append(kwargs["inputs_embeds"].shape[:2].numel())
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.encoder, "forward", counted_encode)
    monkeypatch.setattr(model.llm, "forward", counted_forward)
    answer_logprobs(model, processor, prepared, example, ANSWERS)
    assert sum(encoded) == len(prepared.pixels_NCHW)
    # the prompt once, then four rows as long as the longest answer and its end
    assert read[0] == pytest.approx(len(prepared.prompt.ids), abs=2)
    assert read[1] <= 4 * (len("a long answer") + 8)


def test_what_the_model_was_taught_is_most_likely(world, tiny_image) -> None:
    model, processor = world
    example = _example(tiny_image)
    taught = Example(id="x", media=example.media, turns=(*example.turns, Turn(role="assistant", text="B")))
    batch = processor.collate([processor.prepare(taught)])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.llm.parameters(), lr=3e-3)
    for _ in range(12):
        optimiser.zero_grad()
        logits = model(batch).logits
        torch.nn.functional.cross_entropy(logits[0, :-1], batch.labels_BL[0, 1:], ignore_index=-100).backward()
        optimiser.step()
    found = answer_logprobs(model, processor, processor.prepare(example), example, ("A", "B", "C"))
    model.load_state_dict(state)
    assert most_likely(found) == 1
    assert found[1].total > -1


def test_order_of_the_answers_only_permutes_the_result(world, tiny_image) -> None:
    model, processor = world
    example = _example(tiny_image)
    prepared = processor.prepare(example)
    there = answer_logprobs(model, processor, prepared, example, ("A", "B", "something else"))
    back = answer_logprobs(model, processor, prepared, example, ("something else", "B", "A"))
    for one, other in zip(there, reversed(back), strict=True):
        assert one.total == pytest.approx(other.total, abs=1e-4)


def test_per_token_may_choose_another_option() -> None:
    options = (LogProb(total=-2.0, tokens=1), LogProb(total=-3.0, tokens=4))
    assert most_likely(options) == 0
    assert most_likely(options, "per_token") == 1
    assert most_likely((options[0], options[0])) == 0


def test_a_loss_is_no_log_probability() -> None:
    for wrong in (2.3, math.nan):
        with pytest.raises(ValueError, match="expected at most 0"):
            LogProb(total=wrong, tokens=3)
    with pytest.raises(ValueError, match="expected at least one"):
        most_likely((LogProb(total=-math.inf, tokens=1),))
    with pytest.raises(ValueError, match="compared"):
        most_likely((LogProb(total=-1.0, tokens=1),), "loss")  # type: ignore[arg-type]


def test_a_row_without_an_answer_is_refused(world, tiny_image) -> None:
    model, processor = world
    with pytest.raises(ValueError, match="without an answer"):
        logprobs(model, processor.collate([processor.prepare(_example(tiny_image))]))
