"""Image benchmarks with free answers: LLaVA-Bench, judged beside a reference, and LLaVA-Interleave-Bench."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import cell, run_right, write_hub, write_picture

from evals.judge.form import Verdict
from evals.metrics.rouge import rouge_l
from evals.result import Prediction
from evals.score import score
from evals.tasks.interleave import Interleave, mean_of_categories
from evals.tasks.llava_wild import LlavaWild
from evals.tasks.llava_wilder import LlavaWilder


def wild(root: Path) -> tuple[LlavaWild, LlavaWild]:
    folder, hub = root / "wild", []
    questions, answers, captions = [], [], {}
    for index in range(10):
        image = f"{index // 3:03}.jpg"
        category = ("conv", "detail", "complex")[index % 3]
        questions.append({"question_id": index, "image": image, "text": f"What is {index}?", "category": category})
        answers.append({"question_id": index, "text": f"It is {index}.", "answer_id": "x"})
        captions[image] = {"id": "1", "image": image, "caption": f"A picture {index // 3}."}
        hub.append({"question_id": index, "question": f"What is {index}?", "gpt_answer": f"It is {index}."})
        hub[-1] |= {"image_id": image, "category": category, "caption": f"A picture {index // 3}."}
        hub[-1] |= {"image": cell(index // 3)}
        write_picture(folder / "images" / image, index // 3)
    for name, rows in {"questions": questions, "answers_gpt4": answers, "context": captions.values()}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return LlavaWild(file=folder), LlavaWild(file=write_hub(root / "hub", hub, "train"))


def test_wild_asks_its_judge_about_a_described_picture(tmp_path: Path) -> None:
    official, hub = wild(tmp_path)
    samples = official.samples()
    assert [sample.id for sample in samples] == [sample.id for sample in hub.samples()]
    assert samples[4].id == "llava-bench-wild/test/4"
    assert official.top == 10
    asked = official.judge.ask([samples[4]], ["A four."])
    assert all(words in asked for words in ("What is 4?", "It is 4.", "A four.", "A picture 1."))
    first, said = run_right(official, tmp_path / "a")
    _, said_hub = run_right(hub, tmp_path / "b")
    assert said.prompts == said_hub.prompts
    assert said.sizes == said_hub.sizes
    assert said.prompts["llava-bench-wild/test/4"] == "What is 4?"
    assert first.row("all").n == 10
    (tmp_path / "wild" / "context.jsonl").write_text("")
    with pytest.raises(
        ValueError, match=r"questions\.jsonl:1: question 0 about 000\.jpg has no reference or no caption"
    ):
        official.samples()


def test_wild_is_a_ratio_of_sums(tmp_path: Path) -> None:
    official, _ = wild(tmp_path)
    samples = official.samples()
    said = {sample.id: Prediction(id=sample.id, text="words", status="ok", answer="words") for sample in samples}
    verdicts = {sample.id: Verdict(score=4.0, reference=8.0) for sample in samples}
    verdicts[samples[0].id] = Verdict(score=10.0, reference=4.0)
    result = score(official, samples, said, verdicts=verdicts)
    relative = next(figure for figure in result.figures if figure.name == "relative score")
    # (10 + 9 x 4) / (4 + 9 x 8)
    assert relative.value == pytest.approx(100 * 46 / 76)


def test_wilder_from_either_spelling(tmp_path: Path) -> None:
    rows = [{"Question": f"What is {i}?", "Answer": f"It is {i}.", "image": cell(i)} for i in range(10)]
    hub = LlavaWilder(file=write_hub(tmp_path / "hub", rows))
    lines = []
    for index in range(10):
        write_picture(tmp_path / "images" / f"{index}.png", index)
        row = {"question": f"What is {index}?", "gpt4v_answer": f"It is {index}.", "image": f"{index}.png"}
        lines.append(json.dumps(row))
    (tmp_path / "small.jsonl").write_text("\n".join(lines))
    official = LlavaWilder(file=tmp_path / "small.jsonl", images=tmp_path / "images")
    (_, said), (_, said_hub) = run_right(official, tmp_path / "a"), run_right(hub, tmp_path / "b")
    assert sorted(said.prompts.values()) == sorted(said_hub.prompts.values())
    assert sorted(said.sizes.values()) == sorted(said_hub.sizes.values())
    assert official.judge.name == "llava-bench-seen@v1"
    assert official.judge.seen
    (tmp_path / "small.jsonl").write_text('{"question": "x", "Question": "y", "image": "0.png"}')
    with pytest.raises(ValueError, match=r"small\.jsonl:1: columns .* expected exactly one of \['question', 'Quest"):
        official.samples()


def interleave(root: Path) -> tuple[Interleave, Interleave]:
    rows, hub = [], []
    for index in range(10):
        kind = "open-ended" if index < 4 else "multi-choice"
        subtask = ("Spot-the-Diff", "VIST", "BLINK", "QBench", "Mantis")[index // 2]
        answer = f"a red car moved {index}" if index < 4 else "AB"[index % 2] if index < 8 else "yes"
        question = f"What changed {index} from <image> to <image>?" if index % 2 else f"Compare them {index}."
        about = {"dataset": subtask, "question_type": kind, "split": "test"}
        talk = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        images = [f"{subtask}/{place}.png" for place in (index % 10, (index + 1) % 10)]
        rows.append({"sample_id": str(index), "conversations": talk, "image": images, "metadata": about})
        hub.append({"sample_id": index, "sub_task": subtask, "question_type": kind, "question": question})
        hub[-1] |= {"answer": answer, "image_0": cell(index % 10), "image_1": cell((index + 1) % 10), "image_2": None}
        for place in (index % 10, (index + 1) % 10):
            write_picture(root / "images" / subtask / f"{place}.png", place)
    (root / "out_of_domain.json").write_text(json.dumps(rows))
    official = Interleave(file=root / "out_of_domain.json", images=root / "images")
    return official, Interleave(file=write_hub(root / "hub", hub))


def test_interleave_both_ways(tmp_path: Path) -> None:
    official, hub = interleave(tmp_path)
    (result, said), (second, said_hub) = run_right(official, tmp_path / "a"), run_right(hub, tmp_path / "b")
    assert said.prompts == said_hub.prompts
    assert said.sizes == said_hub.sizes
    # the last two by id: VIST 2 and 3
    assert result.row("VIST").accuracy == 0
    # Spot-the-Diff 1, VIST 0, and three subtasks that are categories of their own 1
    assert [figure.value for figure in result.figures] == [figure.value for figure in second.figures] == [0.8]
    assert mean_of_categories([item for item in result.samples if item.kind in ("VIST", "BLINK")]) == 0.5
    pooled = [replace(item, kind="AESOP") if item.kind == "BLINK" else item for item in result.samples]
    # AESOP 1 and VIST 0 are one category: the mean of 1, 0.5, 1 and 1
    assert mean_of_categories(pooled) == pytest.approx(3.5 / 4)
    sample = official.samples()[4]
    assert sample.id == "llava-interleave/out_of_domain/BLINK/4"
    assert [official.score(sample, official.parse(sample, text)) for text in ("A", "(A) it", "The answer is B.")] == [
        1, 1, 0,
    ]  # fmt: skip
    free = official.samples()[0]
    # "a red car" of "a red car moved 0": 2 x 3 / (3 + 5)
    assert official.score(free, official.parse(free, "A red car.")) == pytest.approx(0.75)


def test_interleave_reads_eight_letters(tmp_path: Path) -> None:
    official, _ = interleave(tmp_path)
    rows = json.loads(official.file.read_text())[4:5]
    rows[0]["conversations"][1]["value"] = "H"
    official.file.write_text(json.dumps(rows))
    (sample,) = official.samples()
    assert [official.score(sample, official.parse(sample, text)) for text in ("H", "(h)", "A house")] == [1, 1, 0]


def test_interleave_refuses_several_turns(tmp_path: Path) -> None:
    official, _ = interleave(tmp_path)
    rows = json.loads(official.file.read_text())
    rows[1]["conversations"] *= 2
    official.file.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"out_of_domain\.json\[1\]: 4 turns, expected a question of 'human'"):
        official.samples()
    rows[1]["conversations"] = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "x"}]
    official.file.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"\[1\]: 1 placeholders in the question for 2 images"):
        official.samples()


@pytest.mark.parametrize(
    ("text", "answer", "value"),
    [("a b c", "a b c", 1.0), ("a x b", "a b", 0.8), ("b a", "a b", 0.5), ("", "a", 0.0), ("A, B!", "a b", 1.0)],
)
def test_rouge_l(text: str, answer: str, value: float) -> None:
    assert rouge_l(text, answer) == pytest.approx(value)
