"""A user's JSONL: what is understood, and that everything else is named with its line."""

import json
from pathlib import Path

import pytest

from evals.sample import Sample
from evals.tasks.folder import Folder


def load(tmp_path: Path, *records: object) -> list[Sample]:
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records))
    return list(Folder(file=path).samples())


def test_open_question(tmp_path: Path) -> None:
    task = Folder(file=tmp_path / "mine.jsonl")
    (sample,) = load(tmp_path, {"media": "sub/cat.jpg", "question": "what is it?", "answers": ["a cat", "Cat"]})
    assert sample.media[0].path == tmp_path / "sub" / "cat.jpg"
    assert sample.media[0].kind == "image"
    assert task.prompt(sample).startswith("what is it?\nAnswer the question using a single word")
    for text, score in [("A cat.", 1.0), ("CAT", 1.0), ("dog", 0.0)]:
        assert task.score(sample, task.parse(sample, text)) == score


def test_choice_by_label_or_text_and_several_media(tmp_path: Path) -> None:
    task = Folder(file=tmp_path / "mine.jsonl")
    one, two = load(
        tmp_path,
        {"media": ["a.png", "b.mp4"], "question": "q", "options": ["x", "y"], "answer": "B", "id": 7, "kind": "k"},
        {"video": "strange.bin", "question": "q", "options": ["he sits", "he runs"], "answer": "he runs"},
    )
    assert (one.id, one.answer, one.kind, [m.kind for m in one.media]) == (
        "folder/mine/7",
        "B",
        "k",
        ["image", "video"],
    )
    assert (two.answer, two.media[0].kind) == ("B", "video")
    assert task.prompt(one) == "q\nA. x\nB. y\nAnswer with the option's letter from the given choices directly."
    assert task.score(two, task.parse(two, "He runs!")) == 1.0


def test_ids_do_not_depend_on_the_order(tmp_path: Path) -> None:
    records = [{"media": "a.png", "question": q, "answer": "1"} for q in ("q1", "q2")]
    assert [s.id for s in load(tmp_path, *records)] == [s.id for s in load(tmp_path, *records[::-1])][::-1]
    assert {s.cluster for s in load(tmp_path, *records)} == {"a.png"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", r"mine.jsonl:1: not JSON"),
        ([1], "expected an object, got list"),
        ({"media": "a.png", "question": "q"}, "no answer"),
        ({"media": "a.png", "question": "q", "answer": "1", "answers": ["1"]}, "expected one of"),
        ({"question": "q", "answer": "1"}, "no media"),
        ({"media": "a.xyz", "question": "q", "answer": "1"}, r"suffix '.xyz'"),
        ({"media": 3, "question": "q", "answer": "1"}, "media: expected texts, got 3"),
        ({"media": "a.png", "question": "", "answer": "1"}, "question: expected a text"),
        (
            {"media": "a.png", "question": "q", "answer": "1", "colour": 2},
            r"unknown keys \['colour'\], .*expected one of",
        ),
        ({"media": "a.png", "questoin": "q", "answer": "1"}, r"unknown keys \['questoin'\], did you mean question"),
        ({"media": "a.png", "question": "q", "answer": "z", "options": ["x", "y"]}, "means no option"),
        ({"media": "a.png", "question": "q", "answer": "A", "options": ["x", "A"]}, r"means \['A', 'B'\]"),
        ({"media": "a.png", "question": "q", "answer": 3}, "answer: expected texts, got 3"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, record: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, record)
    assert "mine.jsonl:1" in str(caught.value)


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    record = {"media": "a.png", "question": "q", "answer": "1"}
    with pytest.raises(ValueError, match=r"mine.jsonl:2: id .* second time"):
        load(tmp_path, record, record)


def test_a_kind_never_has_the_name_of_a_total(tmp_path: Path) -> None:
    named = {"media": "a.png", "question": "q1", "answer": "1", "kind": "k"}
    plain = {"media": "a.png", "question": "q2", "answer": "1"}
    assert [sample.kind for sample in load(tmp_path, named, plain)] == ["k", "other"]
    for total in ("all", "mean"):
        with pytest.raises(ValueError, match=f"mine.jsonl:1: kind: '{total}' is the name of a row"):
            load(tmp_path, {**named, "kind": total})
