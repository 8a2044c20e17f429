"""anyres-plan for prompts of several media: looks of their own, a common budget, the context and what fits it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyres.main import main

# 24 x 24 tokens a tile, a context of 4,096
MODEL = ("model=llava-next-7b", "text_tokens=0")


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """An animated picture of 40 frames, 64x48, ten a second."""
    frames = [Image.fromarray(np.full((48, 64, 3), 6 * index, dtype=np.uint8)) for index in range(40)]
    path = tmp_path / "clip.mp4"
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_image(frame)))
        file.mux(stream.encode())
    return str(path)


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    return capsys.readouterr().err.strip()


def test_each_input_has_its_own_look(capsys: pytest.CaptureFixture[str], clip: str) -> None:
    words = ("640x480", "640x480@pad", f"{clip}@uniform-4", clip, f"{clip}@frames-as-images-16", *MODEL)
    image, padded, four, own, images = rows(capsys, *words)
    assert (image["tokens"], padded["tokens"]) == (2340, 576)
    # 12 x 13 tokens a frame; the model's own 16 frames of 12 x 12; 16 images of 64x48 in two tiles, 18 rows kept
    assert (four["frames"], four["tokens"]) == (4, 4 * 156)
    assert (own["frames"], own["tokens"]) == (16, 2304)
    assert images["tokens"] == 16 * images["tokens_per_frame"] and images["tiles"] > 16


def test_a_folder_of_views_is_its_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.jpg"):
        Image.new("RGB", (80, 60)).save(tmp_path / name)
    found = rows(capsys, f"{tmp_path}@pad", "100x100", *MODEL)
    assert [Path(row["name"]).name for row in found] == ["a.png", "b.png", "c.jpg", "100x100"]
    assert [row["tokens"] for row in found] == [576, 576, 576, 1176]
    (tmp_path / "empty").mkdir()
    assert refusal(capsys, f"{tmp_path / 'empty'}@pad").endswith("empty: a folder without pictures")
    assert "nosuch" in refusal(capsys, "100x100@nosuch")


def test_the_seeds_arithmetic_56_frames_in_8192(capsys: pytest.CaptureFixture[str], clip: str) -> None:
    def told(*words: str) -> dict:
        return rows(capsys, clip, *MODEL, *words)[0]

    # 144 tokens a frame: 28 in 4,096, 56 in 8,192 beside 128 of text; the clip has 40
    assert told()["frames_that_fit"] == 28
    beside = told("rope_factor=2", "text_tokens=128", "video.num_frames=56")
    assert (beside["frames_that_fit"], beside["tokens"], beside["sequence"]) == (56, 8064, 8192)
    assert told("most_frames=true")["frames"] == 28
    assert told("most_frames=true", "rope_factor=2")["frames"] == 40


def test_a_plan_beyond_the_context_names_both_numbers_and_the_remedies(
    capsys: pytest.CaptureFixture[str], clip: str
) -> None:
    words = (clip, "video.num_frames=56", "text_tokens=512", "model=llava-next-7b")
    found = refusal(capsys, *words, "rope_factor=1")
    assert "prompt needs 8576 positions (8064 visual, 512 text), but the model reads at most 4096" in found
    assert "rope_factor=3 reads 12288; or a single clip of 24 frame(s) fits" in found
    assert "4096 trained, RoPE x1.5" in refusal(capsys, *words, "rope_factor=1.5")
    # without a factor to plan for, the one that is needed is told
    assert main(list(words)) == 0
    assert "56 frames; at most 24 fit 4,096 positions (RoPE x1), 512 of them text" in capsys.readouterr().out
    # 512 positions of text: the advice is one that works
    two = ("640x480", "640x480", "together=true", "rope_factor=1", "model=llava-next-7b")
    advice = "or budget=3584 (anyres-plan, anyres-ask) or a smaller grid.target_tok lowers its images"
    assert advice in refusal(capsys, *two)
    assert main([*two, "budget=3584"]) == 0
    assert "rope_factor: expected at least 1" in refusal(capsys, "640x480", "rope_factor=0.5")


def test_images_views_and_clips_share_a_budget(capsys: pytest.CaptureFixture[str], clip: str) -> None:
    words = ("640x480", "640x480@anyres", "800x800@pad", f"{clip}@uniform-32", *MODEL)
    own = rows(capsys, *words)
    # 2,340 and 2,340 by two grids, 576 that cannot be lowered, 32 frames of 156
    assert [row["tokens"] for row in own] == [2340, 2340, 576, 4992]
    found = refusal(capsys, *words, "budget=4000")
    assert "budget of 4,000 tokens: text needs 0 and clips 4,992; a single clip of 25 frame(s) fits" in found
    shared = rows(capsys, *words, "budget=8000")
    assert sum(row["tokens"] for row in shared) <= 8000
    assert shared[3]["tokens"] == 4992 and shared[0]["tokens"] < 2340 and shared[1]["tokens"] < 2340
    fewer = rows(capsys, *words, "budget=4000", "fewer_frames=true")
    assert 3600 < sum(row["tokens"] for row in fewer) <= 4000
    assert 8 <= fewer[3]["frames"] < 32
    assert fewer[3]["frame_indices"][0] == 0 and fewer[3]["frame_indices"][-1] == 39


def test_frames_of_keys_are_told_to_be_inexact(capsys: pytest.CaptureFixture[str], clip: str) -> None:
    row = rows(capsys, clip, "video.policy=keyframes", *MODEL)[0]
    assert row["frames_exact"] is False and row["frame_indices"][0] == 0
    assert main([clip, "video.policy=keyframes", *MODEL]) == 0
    assert "which frames these are depends on how it was encoded" in capsys.readouterr().out


def test_frames_at_times_and_in_segments(capsys: pytest.CaptureFixture[str], clip: str) -> None:
    asked = rows(capsys, clip, "video.policy=times", "video.times_s=[0.05,1.0,3.9]", *MODEL)[0]
    assert asked["frame_indices"] == [0, 10, 39]
    words = ("video.policy=segments", "video.num_frames=2", "video.segments_s=[[0,1],[2,3]]")
    assert rows(capsys, clip, *words, *MODEL)[0]["frame_indices"] == [5, 25]
