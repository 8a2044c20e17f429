"""Video benchmarks with a model on real clips: spans, folders of frames, GIFs, subtitles, spans between words."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_rows import write

from evals.answerer import LmmAnswerer
from evals.media.looking import Looking
from evals.result import Prediction
from evals.run import evaluate
from evals.tasks.longvideobench import LongVideoBench
from evals.tasks.mvbench import MvBench
from evals.tasks.pocket import PocketVideo
from evals.tasks.videomme import VideoMme
from models.lmm import LMM
from models.processor import Processor
from video.clip import VideoSpec
from video.reader import load_clip

FRAMES = VideoSpec(num_frames=2, pool=1)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 8 scenes, one a second."""
    drawn = PocketVideo(folder=tmp_path / "drawn", kinds=("first",), frames=8, count=1).samples()[0]
    path = drawn.media[0].path
    assert path is not None
    return path


def test_mvbench_with_spans_frames_and_gifs(tiny: tuple[LMM, Processor], tmp_path: Path, clip: Path) -> None:
    seconds = load_clip(clip, FRAMES).meta.duration_s
    for place in ("star/Charades_v1_480/a.mp4", "star/Charades_v1_480/b.mp4"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / place)
    frames = tmp_path / "tvqa/frames_fps3_hq/castle"
    frames.mkdir(parents=True)
    pictures = [Image.fromarray(np.full((56, 56, 3), shade, np.uint8)) for shade in (10, 90, 170, 250, 30, 60)]
    for index, picture in enumerate(pictures, start=1):
        picture.save(frames / f"{index:05}.jpg")
    gifs = tmp_path / "clevrer/video_validation"
    gifs.mkdir(parents=True)
    pictures[0].save(gifs / "c.gif", save_all=True, append_images=pictures[1:], duration=500)
    row = {"question": "which one", "candidates": ["one", "two"], "answer": "two"}
    spans = [("a.mp4", 0.0, seconds / 2), ("b.mp4", seconds / 2, seconds), ("lost.mp4", 0.0, 1.0)]
    write(tmp_path / "json/action_sequence.json", [{**row, "video": v, "start": s, "end": e} for v, s, e in spans])
    write(tmp_path / "json/episodic_reasoning.json", [{**row, "video": "castle", "start": 0.0, "end": 1.2, "fps": 3}])
    write(tmp_path / "json/moving_count.json", [{**row, "video": "c.gif"}])
    tasks = ("action_sequence", "episodic_reasoning", "moving_count")
    task = MvBench(annotations=tmp_path / "json", videos=tmp_path, tasks=tasks, max_new_tokens=4)
    result = evaluate(task, *tiny, tmp_path / "run", video=FRAMES, progress=False)
    assert (result.row("all").n, result.row("all").failed) == (5, 1)
    by_video = {item.id.split("/")[3].rsplit("-", 1)[0]: item.prediction for item in result.samples}
    assert by_video["lost.mp4"].status == "media_error"
    assert {one.frames for name, one in by_video.items() if name != "lost.mp4"} == {2}
    answerer = LmmAnswerer(*tiny, Looking(*tiny, video=FRAMES))
    opened = {sample.id.split("/")[3].rsplit("-", 1)[0]: sample.media[0] for sample in task.samples()}
    times = {name: list(answerer.open(media).times_F) for name, media in opened.items() if name != "lost.mp4"}
    # seconds of the span, its edges are in it: the frame at 4 s ends one half and begins the other
    assert times["a.mp4"] == pytest.approx([0.0, seconds / 2])
    assert times["b.mp4"][0] == 0.0
    assert len({answerer.open(opened[name]).frames_FHWC.tobytes() for name in ("a.mp4", "b.mp4")}) == 2
    # frames 1 to 4 of six, three to the second, in the order of their names
    assert times["castle"] == pytest.approx([0.0, 1.0])
    shades = [int(frame.mean()) for frame in answerer.open(opened["castle"]).frames_FHWC]
    assert shades == [10, 250]


def test_videomme_subtitles_are_those_of_the_sampled_frames(
    tiny: tuple[LMM, Processor], tmp_path: Path, clip: Path
) -> None:
    shutil.copy(clip, tmp_path / "x.mp4")
    times = load_clip(clip, FRAMES).times_F
    at_first = f"1\n00:00:{times[0]:06.3f} --> 00:00:{times[0] + 0.1:06.3f}\nred\n".replace(".", ",")
    between = "2\n00:00:02,000 --> 00:00:02,100\n" + "green " * 20 + "\n"
    (tmp_path / "x.srt").write_text(f"{at_first}\n{between}")
    row = {
        "videoID": "x", "duration": "short", "domain": "d", "sub_category": "s", "task_type": "t", "question_id": "1-1",
        "question": "which one", "options": ["A. one", "B. two"], "answer": "B",
    }  # fmt: skip
    task = VideoMme(file=write(tmp_path / "rows.json", [row]), videos=tmp_path, subtitles=tmp_path, max_new_tokens=4)
    model, processor = tiny
    counts = []
    for name, subtitles in (("with", tmp_path), ("without", None)):
        asked = VideoMme(file=task.file, videos=tmp_path, subtitles=subtitles, max_new_tokens=4)
        result = evaluate(asked, model, processor, tmp_path / name, video=FRAMES, progress=False)
        prediction = result.samples[0].prediction
        assert prediction.status in ("ok", "unparsed"), prediction.detail
        counts.append(prediction.text_tokens)
    (sample,) = task.samples()
    bare = VideoMme(file=task.file, videos=tmp_path)
    turns = (task.prompt_at(sample, [list(times)]), bare.prompt(sample), task.prompt(sample))
    tokens = [len(processor.tokenizer.encode(text)) for text in turns]
    # one line more than without, and not the other twenty words
    assert counts[0] - counts[1] == tokens[0] - tokens[1]
    assert tokens[2] - tokens[0] >= 20


def test_longvideobench_spans_stand_between_the_words(tiny: tuple[LMM, Processor], tmp_path: Path, clip: Path) -> None:
    shutil.copy(clip, tmp_path / "v.mp4")
    seconds = float(load_clip(clip, FRAMES).meta.duration_s)
    lines = [{"timestamp": [0.0, seconds], "text": "red"}]
    write(tmp_path / "v_en.json", lines)
    row = {
        "id": "v_0", "video_id": "v", "video_path": "v.mp4", "subtitle_path": "v_en.json", "question": "which one",
        "candidates": ["one", "two"], "correct_choice": 1, "question_category": "S2E", "duration_group": 15,
        "duration": seconds, "starting_timestamp_for_subtitles": 0,
    }  # fmt: skip
    file = write(tmp_path / "lvb_val.json", [row])
    task = LongVideoBench(file=file, videos=tmp_path, subtitles=tmp_path, segments=4, max_new_tokens=4)
    result = evaluate(task, *tiny, tmp_path / "run", video=VideoSpec(num_frames=1, pool=1), progress=False)
    prediction: Prediction = result.samples[0].prediction
    assert prediction.status in ("ok", "unparsed"), prediction.detail
    assert prediction.frames == 4
