"""A conversation about media: what was read is not read again, and every answer is that of a fresh start."""

import io
import json
from collections.abc import Callable

import pytest
import torch

from models.build import load
from models.checkpoints.save import save
from models.example import Example, Turn
from models.serve.ask import Look, Session
from models.serve.inputs import split_line
from models.serve.main import main

QUESTIONS = ("what is this?", "what is that, and where?", "who?")


class Calls:
    """The tiles that the encoder saw and the positions that the language model read, call by call."""

    def __init__(self, model):
        self.tiles, self.read = [], []
        model.encoder.register_forward_pre_hook(lambda module, given: self.tiles.append(len(given[0])))
        model.llm.register_forward_pre_hook(
            lambda module, given, named: self.read.append(named["inputs_embeds"].shape[1]), with_kwargs=True
        )


def fresh(model, processor, media, turns, count=6):
    batch = processor.batch([Example(id="fresh", media=media, turns=turns)])
    return processor.decode(model.generate(batch, count, stop_ids=processor.stop_ids)[0])


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral"])
@pytest.mark.parametrize("history", [True, False])
def test_answers_are_those_of_a_fresh_start(built, tiny_image, tiny_clip, kind, history):
    model, processor = built(llm={"model_type": kind})
    media = (tiny_image(80, 60), tiny_clip(2, 50, 50))
    session = Session(model=model, processor=processor, media=media, max_new_tokens=6, history=history)
    turns: tuple[Turn, ...] = ()
    for question in QUESTIONS:
        text = question if turns else f"<image>\n<image>\n{question}"
        asked = (*turns, Turn(role="user", text=text))
        answer = session.ask(question)
        assert answer.text == fresh(model, processor, media, asked)
        turns = (*asked, Turn(role="assistant", text=answer.text)) if history else ()


@pytest.mark.parametrize("history", [True, False])
def test_the_encoder_runs_once_and_only_new_positions_are_read(built, tiny_image, history):
    model, processor = built()
    session = Session(model=model, processor=processor, media=(tiny_image(80, 60),), max_new_tokens=2, history=history)
    calls = Calls(model)
    answers = [session.ask(question) for question in QUESTIONS]
    assert calls.tiles == [5]
    assert answers[0].reused == 0
    for answer in answers[1:]:
        # the system message, the picture and its line at least
        assert answer.reused >= answer.visual + 140
    # each question: one pass over what is new, one step for the second token
    assert calls.read == [n for a in answers for n in (a.visual + a.prompt - a.reused, 1)]


def test_media_may_come_with_a_later_question(built, tiny_image, tiny_clip):
    model, processor = built()
    first, later = tiny_image(80, 60), (tiny_image(60, 90, 1), tiny_clip(2, 50, 50))
    session = Session(model=model, processor=processor, media=(first,), max_new_tokens=6)
    calls = Calls(model)
    one = session.ask("what?")
    two = session.ask("and these?", media=later)
    three = session.ask("who?")
    # the first picture's tiles are not encoded again
    assert calls.tiles == [5, len(session.memory.features_NPE) - 5]
    assert len(session.media) == len(session.plans) == 3
    assert (one.reused, two.reused > one.visual, three.reused > two.visual) == (0, True, True)
    turns = (
        Turn(role="user", text="<image>\nwhat?"),
        Turn(role="assistant", text=one.text),
        Turn(role="user", text="<image>\n<image>\nand these?"),
    )
    assert two.text == fresh(model, processor, (first, *later), turns)
    turns = (*turns, Turn(role="assistant", text=two.text), Turn(role="user", text="who?"))
    assert three.text == fresh(model, processor, (first, *later), turns)


def test_plans_that_change_with_company_are_read_anew(built, tiny_image):
    model, processor = built(several="pad")
    pictures = (tiny_image(80, 60), tiny_image(60, 90, 1))
    session = Session(model=model, processor=processor, media=pictures[:1], max_new_tokens=6)
    one = session.ask("what?")
    two = session.ask("and this?", media=pictures[1:])
    assert [plan.num_tiles for plan in session.plans] == [1, 1]
    assert two.reused == 0
    turns = (
        Turn(role="user", text="<image>\nwhat?"),
        Turn(role="assistant", text=one.text),
        Turn(role="user", text="<image>\nand this?"),
    )
    assert two.text == fresh(model, processor, pictures, turns)


def test_a_question_that_fails_leaves_the_session_as_it_was(built, tiny_image):
    model, processor = built()
    session = Session(model=model, processor=processor, media=(tiny_image(80, 60),), max_new_tokens=4)
    session.ask("what?")
    before = (session.media, list(session.turns), session.memory)
    with pytest.raises(ValueError, match="at most 1024"):
        session.ask("why? " * 300, media=(tiny_image(50, 50),))
    with pytest.raises(ValueError, match=r"prompt has 3 <image> placeholder\(s\) for 2 image\(s\)"):
        session.ask("<image> or <image>?", media=(tiny_image(50, 50),))
    assert (session.media, session.turns, session.memory) == before


def test_a_budget_holds_over_a_growing_conversation(built, tiny_image):
    model, processor = built()
    media = (tiny_image(80, 60),)
    whole = Session(model=model, processor=processor, media=media, max_new_tokens=2).ask("what?")
    budget = whole.visual + whole.prompt + 10
    session = Session(model=model, processor=processor, media=media, max_new_tokens=2, look=Look(budget=budget))
    first, second = session.ask("what?"), session.ask("and?")
    assert first.visual == whole.visual > second.visual
    assert second.visual + second.prompt <= budget
    with pytest.raises(ValueError, match=r"budget of \d+ tokens: text needs \d+ and clips 0"):
        session.ask("a question that is longer than what is left")


def test_draws_follow_the_seed_and_stop_strings_end_an_answer(built, tiny_image):
    model, processor = built()

    def answer(seed, **settings):
        session = Session(
            model=model, processor=processor, media=(tiny_image(80, 60),), seed=seed, max_new_tokens=12, **settings
        )
        pieces = []
        text = session.ask("what?", emit=pieces.append).text
        assert "".join(pieces).strip() == text
        return text

    drawn = answer(1, temperature=3.0)
    torch.manual_seed(5)
    assert answer(1, temperature=3.0) == drawn != answer(2, temperature=3.0)
    free = answer(0)
    stop = free[3:5]
    assert answer(0, stop=(stop, "never")) == free[: free.index(stop)].strip()


def test_a_line_may_begin_with_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    given = split_line("a.png b.png is b.png sharper?")
    assert ([str(path) for path in given.paths], given.question) == (["a.png", "b.png"], "is b.png sharper?")
    assert split_line("what is it?").paths == ()
    with pytest.raises(ValueError, match=r"a.png: a question is missing behind the file"):
        split_line("a.png")


def test_the_command_takes_media_later_and_says_what_was_reused(
    built, tiny_image: Callable, tmp_path, monkeypatch, capsys
):
    save(tmp_path / "run", *built())
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png")):
        tiny_image(80, 60, seed).save(name)
    monkeypatch.setattr("sys.stdin", io.StringIO("what?\nb.png and this?\nb.png\nwho?\n"))
    assert main(["a.png", "--json", "model=run", "max_new_tokens=2", "stop=[zzz]"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [[medium["path"] for medium in row["media"]] for row in rows] == [["a.png"], *[["a.png", "b.png"]] * 2]
    assert [row["reused_tokens"] > 0 for row in rows] == [False, True, True]
    assert [row["times"] for row in rows] == [False] * 3
    assert err == "anyres-ask: b.png: a question is missing behind the file\n"


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_loaded_model_has_half_the_frequencies_at_a_rope_factor_of_two(built, tmp_path, kind):
    save(tmp_path / "run", *built(llm={"model_type": kind}))
    own, _ = load(tmp_path / "run")
    scaled, processor = load(tmp_path / "run", rope_factor=2.0)
    ratio = scaled.llm.model.rotary_emb.inv_freq / own.llm.model.rotary_emb.inv_freq
    assert torch.equal(ratio, torch.full_like(ratio, 0.5))
    assert processor.spec.context == 2048
