"""anyres-ask from the command line to the answer, with a tiny random model."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from anyres.grid import GridSpec
from models.build import build_model, load
from models.checkpoints.save import save
from models.processor import Processor
from models.serve.ask import Look, Session, needed_factor, with_media
from models.serve.main import main
from video.clip import VideoSpec

LIMIT = "max_new_tokens=5"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_spec: Callable, tiny_llm: dict, tiny_tokenizer: Callable) -> str:
    torch.manual_seed(0)
    # an equals sign, a comma and a quote in the name: nothing of it may be read as hydra's grammar
    folder = tmp_path_factory.mktemp("runs") / "tiny=1, o'k"
    spec = tiny_spec()
    save(folder, build_model(spec, tiny_llm), Processor(spec, tiny_tokenizer()))
    return f"model={folder}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, tiny_image: Callable) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(2):
        tiny_image(90, 60, seed).save(folder / f"{seed}.png")
    return [str(folder / "0.png"), str(folder / "1.png")]


@pytest.fixture
def ask(run: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        code = main([*words, run, LIMIT])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_an_answer_is_streamed_and_its_tokens_are_told(ask: Callable, photos: list[str]) -> None:
    code, out, err = ask(photos[0], "what is this?")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    # 90x60 at 42 px tiles: 2x2 tiles; overview 9, detail 4 rows of 6 and a row end
    assert lines[-3] == "0.png: 90x60, grid 2 x 2, 5 tiles, 37 tokens"
    assert lines[-2].startswith("tokens: 37 visual + ")
    assert "+ 5 answer | context 1,024 |" in lines[-2]
    assert lines[-1] == "cut off by max_new_tokens=5"


def test_the_streamed_text_is_the_answer(run: str, photos: list[str]) -> None:
    session = open_photo(run, photos[0])
    pieces: list[str] = []
    assert "".join(pieces) == ""
    answer = session.ask("what is this?", emit=pieces.append)
    assert "".join(pieces).strip() == answer.text
    assert len(pieces) > 1
    # no streamer, same answer
    assert open_photo(run, photos[0]).ask("what is this?").text == answer.text


def open_photo(run: str, path: str, **settings: Any) -> Session:
    model, processor = load(run.removeprefix("model="))
    return Session(model=model, processor=processor, media=(Image.open(path),), max_new_tokens=5, **settings)


def test_json_has_the_numbers(ask: Callable, photos: list[str]) -> None:
    code, out, _ = ask(*photos, "what differs?", "--json", "grid.layouts=[[1,1]]")
    row = json.loads(out)
    assert code == 0
    assert [(m["kind"], m["tiles"], m["grid_rows"], m["grid_cols"]) for m in row["media"]] == [("image", 2, 1, 1)] * 2
    assert row["visual_tokens"] == sum(medium["tokens"] for medium in row["media"])
    assert (row["answer_tokens"], row["cut"], row["rope_factor"], row["context"]) == (5, True, 1.0, 1024)
    assert row["question"] == "what differs?"


def test_one_setting_of_the_models_own_grid_may_be_changed(ask: Callable, photos: list[str]) -> None:
    own = json.loads(ask(photos[0], "what?", "--json")[1])
    hard = json.loads(ask(photos[0], "what?", "--json", "grid.target_tok=12", "grid.slack=1.0")[1])
    whole = json.loads(ask(photos[0], "what?", "--json", "grid=none")[1])
    assert own["visual_tokens"] == 37
    assert own["media"][0]["grid_rows"] == hard["media"][0]["grid_rows"] == 2
    assert 9 < hard["visual_tokens"] < 37
    # the overview alone, closed by one end vector
    assert (whole["visual_tokens"], whole["media"][0]["grid_rows"]) == (10, 0)


def test_a_clip_says_which_frames_and_which_reader(ask: Callable, shared: Path) -> None:
    clip = str(shared / "media" / "flipping_a_pancake.mkv")
    row = json.loads(ask(clip, "what happens?", "--json", "video.num_frames=4", "reader=pyav")[1])
    medium = row["media"][0]
    assert (medium["kind"], medium["frames"], medium["frame_indices"]) == ("video", 4, [0, 103, 206, 309])
    assert (medium["reader"], medium["times_s"][-1], medium["tokens"]) == ("pyav", 10.3, 4 * 2)
    _, out, _ = ask(clip, "what happens?", "video.num_frames=4")
    assert "4 of 310 frames (0.00 to 10.30 s of 10.33 s; " in out


def test_without_a_question_it_asks_until_the_input_ends(
    ask: Callable, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("what is this?\n\nand that?\n"))
    code, out, err = ask(photos[0])
    assert (code, err) == (0, "")
    assert out.count("tokens: 37 visual") == 2
    counts = [int(line.split("visual + ")[1].split(" text")[0]) for line in out.splitlines() if "visual + " in line]
    # the first question and its answer stay in the prompt
    assert counts[1] > counts[0]


def test_an_interactive_session_outlives_a_question_that_does_not_fit(
    ask: Callable, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("why? " * 300 + "\nwhat?\n"))
    code, out, err = ask(photos[0], "--json")
    assert code == 0
    assert "1024" in err and err.count("\n") == 1
    assert json.loads(out)["question"] == "what?"


def test_without_history_each_question_stands_alone(run: str, photos: list[str]) -> None:
    session = open_photo(run, photos[0], history=False)
    first, second = session.ask("what?"), session.ask("what?")
    assert (first.text, first.prompt) == (second.text, second.prompt)


def test_the_rope_factor_follows_from_the_plan(ask: Callable, photos: list[str]) -> None:
    assert "RoPE" not in ask(photos[0], "what?")[1]
    # 30 views of 10 tokens and text of a byte a token: more than 1,024 positions
    code, out, _ = ask(*photos * 15, "why? " * 120, "grid=none")
    assert code == 0
    assert "context 2,048 (RoPE x2)" in out
    code, _, err = ask(*photos * 15, "why? " * 120, "grid=none", "rope_factor=1")
    assert code == 2
    assert "1024" in err


def test_the_factor_is_known_without_weights(
    tiny_spec: Callable, tiny_tokenizer: Callable, tiny_image: Callable
) -> None:
    processor = Processor(tiny_spec(), tiny_tokenizer())
    look = Look(grid=GridSpec())
    one, many = (tiny_image(50, 50),), (tiny_image(50, 50),) * 110
    assert needed_factor(processor, one, look, "what?", 256) == 1.0
    # 110 views of 10 tokens
    assert needed_factor(processor, many, look, None, 256) == 2.0
    assert needed_factor(Processor(tiny_spec(rope_factor=4.0), tiny_tokenizer()), one, look, "what?", 256) == 4.0


def test_media_come_before_the_question() -> None:
    assert with_media("what?", 2) == "<image>\n<image>\nwhat?"
    assert with_media("is <image> like <image>?", 2) == "is <image> like <image>?"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PHOTO", "typo.jpg"], "typo.jpg: no such file"),
        (["what?"], "nothing to look at"),
        (["PHOTO", "what?", "grid.target=3"], "grid.target: unknown key, did you mean 'target_tok'"),
        (["PHOTO", "what?", "grid=nosuch"], "grid=nosuch: unknown grid, expected one of"),
        (["PHOTO", "what?", "frames=3"], "frames: unknown key"),
        (["PHOTO", "what?", "device=tpu"], "device: expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        (["PHOTO", "what?", "temperature=-1"], "temperature: expected at least 0"),
        (["PHOTO", "what?", "--jsn"], "--jsn: unknown option"),
        (["PHOTO", "<image><image>"], "2 <image> placeholder(s) for 1 image(s) or clip(s)"),
        (["PHOTO", "what?", "model=nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_are_told_in_one_line(
    run: str, photos: list[str], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    words = [photos[0] if word == "PHOTO" else word for word in words]
    assert main([run, LIMIT, *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("anyres-ask: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_damaged_clip_is_told_in_one_line(ask: Callable, shared: Path) -> None:
    code, out, err = ask(str(shared / "media" / "corrupted.mp4"), "what?")
    assert (code, out) == (2, "")
    assert "corrupted.mp4: " in err and "[damaged]" in err


def test_words_outside_a_small_vocabulary_are_named() -> None:
    from models.pocket.tokenizer import build_tokenizer
    from models.serve.ask import unknown_words

    class Holder:
        tokenizer = build_tokenizer()

        def encode(self, text: str) -> list[int]:
            return self.tokenizer.encode(text, add_special_tokens=False).ids

    assert unknown_words(Holder(), "what color is the zeppelin?") == ("zeppelin",)


def test_the_settings_of_the_spec_are_used_for_clips(
    tiny_spec: Callable, tiny_tokenizer: Callable, tiny_clip: Callable
) -> None:
    processor = Processor(tiny_spec(), tiny_tokenizer())
    clip = tiny_clip(4, 60, 40)
    own, flat = Look(), Look(video=VideoSpec(pool_mode="none", end="no_token"))
    # 3 x 3 tokens a frame pooled to one with a row end, or all nine
    from models.serve.ask import plans

    assert plans(processor, (clip,), own)[0].num_tokens == 8
    assert plans(processor, (clip,), flat)[0].num_tokens == 36
