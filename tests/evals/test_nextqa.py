"""NExT-QA: the official CSV, the published predictions and their published scores; layouts of the videos."""

import csv
import json
from pathlib import Path

import pytest

from evals.result import Prediction
from evals.run import evaluate
from evals.sample import LABELS
from evals.score import score
from evals.tasks.nextqa import NextQaMc
from evals.tasks.pocket import PocketVideo
from models.lmm import LMM
from models.processor import Processor

HEADER = ("video", "frame_count", "width", "height", "question", "answer", "qid", "type", "a0", "a1", "a2", "a3", "a4")
ROW = "4010069381,369,640,480,how do the two man play the instrument,0,6,CH,roll it,tap,strum,hit,pat"


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([",".join(HEADER), *rows]) + "\n")
    return path


def test_published_predictions_score_as_published(shared: Path) -> None:
    """HGA's example predictions on val: Acc 49.74, C 46.26, T 50.74, D 59.33 in the NExT-QA repository."""
    folder = shared / "data" / "nextqa"
    task = NextQaMc(csv=folder / "val.csv", videos=folder)
    samples = task.samples()
    assert len(samples) == 4996
    assert len({sample.cluster for sample in samples}) == 570
    said = json.loads((folder / "HGA-bert-ft-h256-val-example.json").read_text())
    predictions = {}
    for sample in samples:
        entry = said[sample.id.split("/")[-1]]
        assert LABELS[entry["answer"]] == sample.answer
        predictions[sample.id] = Prediction(id=sample.id, text=f"{LABELS[entry['prediction']]}.", status="ok")
    result = score(task, samples, predictions)
    found = {name: round(100 * result.row(name).accuracy, 2) for name in ("all", "C", "T", "D")}
    assert found == {"all": 49.74, "C": 46.26, "T": 50.74, "D": 59.33}
    assert sum(result.row(name).n for name in "CTD") == result.row("all").n == 4996
    # 100 * sqrt(p (1 - p) / n) is 0.707; questions on one video are a little alike
    assert round(100 * result.row("all").se, 2) == 0.75


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    task = NextQaMc(csv=write(tmp_path / "val.csv", ROW), videos=tmp_path)
    (sample,) = task.samples()
    assert sample.id == "nextqa-mc/val/4010069381_6"
    assert (sample.kind, sample.answer, sample.cluster) == ("CH", "A", "4010069381")
    assert task.prompt(sample) == (
        "how do the two man play the instrument?\nA. roll it\nB. tap\nC. strum\nD. hit\nE. pat\n"
        "Answer with the option's letter from the given choices directly."
    )


def test_video_ids_stay_strings(tmp_path: Path) -> None:
    task = NextQaMc(csv=write(tmp_path / "val.csv", ROW.replace("4010069381", "00401")), videos=tmp_path)
    assert task.samples()[0].media[0].path == tmp_path / "00401.mp4"


@pytest.mark.parametrize("name", ["4010069381.mp4", "NExTVideo/4010069381.mp4", "0101/4010069381.mp4"])
def test_layouts_of_the_videos(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    ids = tmp_path / "map.json"
    ids.write_text(json.dumps({"4010069381": "0101/4010069381"}))
    task = NextQaMc(csv=write(tmp_path / "val.csv", ROW), videos=tmp_path, vidor_map=ids)
    assert task.samples()[0].media[0].path == path


def test_previous_is_scored_as_next(tmp_path: Path) -> None:
    task = NextQaMc(csv=write(tmp_path / "val.csv", ROW.replace(",CH,", ",TP,")), videos=tmp_path)
    assert task.samples()[0].kind == "TN"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace(",0,6,", ",5,6,"), r"val.csv:2: answer 5, expected 0 to 4"),
        (ROW.replace("CH", "XX"), r"val.csv:2: type: expected one of .* got 'XX'"),
        (ROW.replace("4010069381", "abc"), r"val.csv:2: video: expected digits, got 'abc'"),
        (ROW + ",more", "14 cells, the header has 13"),
        (ROW.rsplit(",", 1)[0], "12 cells, the header has 13"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NextQaMc(csv=write(tmp_path / "val.csv", row), videos=tmp_path).samples()


def test_another_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "val.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["video", "question"], ["1", "q"]])
    with pytest.raises(ValueError, match="no column"):
        NextQaMc(csv=path, videos=tmp_path).samples()


def test_a_missing_video_counts_against_the_model(tiny: tuple[LMM, Processor], tmp_path: Path) -> None:
    drawn = PocketVideo(folder=tmp_path / "drawn", kinds=("first",), frames=2, count=1).samples()[0]
    videos = tmp_path / "NExTVideo"
    videos.mkdir()
    drawn.media[0].path.rename(videos / "4010069381.mp4")
    rows = [ROW, ROW.replace(",6,CH", ",7,TN"), ROW.replace("4010069381", "4882821564")]
    task = NextQaMc(csv=write(tmp_path / "val.csv", *rows), videos=tmp_path)
    result = evaluate(task, *tiny, tmp_path / "run", progress=False)
    assert (result.row("all").n, result.row("all").failed) == (3, 1)
    lost = next(item.prediction for item in result.samples if item.prediction.status == "media_error")
    assert lost.id == "nextqa-mc/val/4882821564_6"
    assert "4882821564.mp4" in lost.detail
    assert (lost.text, lost.answer) == ("", None)
    asked = [item.prediction for item in result.samples if item.prediction.status != "media_error"]
    assert [(one.frames, one.visual_tokens) for one in asked] == [(2, 40), (2, 40)]
