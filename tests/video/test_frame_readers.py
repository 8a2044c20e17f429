"""Clips that are no video files: arrays, folders of pictures, animated pictures; and what all readers share."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyres.geometry import HW
from anyres.limits import LIMITS
from video import MediaError, VideoSpec, load_clip, open_clip_reader
from video.bench import barcode
from video.gif import gif_frames
from video.reader import read_at

FRAMES = np.stack([barcode.draw(number) for number in range(12)])


def numbers(frames_FHWC: np.ndarray) -> list[int | None]:
    return [barcode.read(frame).number for frame in frames_FHWC]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve frames whose names are not filled with zeros."""
    for number, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"frame_{number}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    return tmp_path


def animated(path: Path, delays: list[int] | int = 100, **options: object) -> Path:
    pictures = [Image.fromarray(frame) for frame in FRAMES]
    if path.suffix == ".gif":
        pictures = [picture.quantize(64) for picture in pictures]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=delays, **options)
    return path


def test_arrays_folders_and_animations_are_clips_alike(folder: Path, tmp_path: Path) -> None:
    sources = [
        (open_clip_reader(FRAMES, fps=10), "array"),
        (open_clip_reader(folder, fps=10), "frames"),
        (open_clip_reader(animated(tmp_path / "a.gif")), "pillow"),
        (open_clip_reader(animated(tmp_path / "a.webp", lossless=True)), "pillow"),
        (open_clip_reader(animated(tmp_path / "apng.mp4", format="PNG")), "pillow"),
    ]
    for reader, name in sources:
        assert (reader.meta.num_frames, reader.meta.size, reader.name) == (12, HW(64, 96), name)
        assert (reader.meta.fps, reader.meta.duration_s) == (pytest.approx(10), pytest.approx(1.2))
        for wanted in (list(range(12)), [11, 0, 5, 5], [10]):
            clip = reader.read(wanted)
            assert numbers(clip.frames_FHWC) == wanted
            assert clip.indices == tuple(wanted)
            assert clip.times_F.tolist() == pytest.approx([frame / 10 for frame in wanted])
            assert clip.reader == name
        assert numbers(pickle.loads(pickle.dumps(reader)).read([3]).frames_FHWC) == [3]


def test_a_part_in_seconds_is_the_same_of_every_source(folder: Path, tmp_path: Path) -> None:
    video = VideoSpec(num_frames=3)
    for source, fps in ((FRAMES, 10), (folder, 10), (animated(tmp_path / "a.gif"), None)):
        clip = load_clip(source, video, span=(0.5, 0.9), fps=fps)
        assert clip.indices == (5, 7, 9)
        assert clip.times_F.tolist() == pytest.approx([0.0, 0.2, 0.4])
        assert (clip.meta.num_frames, clip.meta.duration_s) == (5, pytest.approx(0.4))
        # between two frames: the one on screen
        assert load_clip(source, video, span=(0.52, 0.58), fps=fps).indices == (5, 5, 5)
        with pytest.raises(MediaError, match="no frame between 2"):
            load_clip(source, video, span=(2.0, 3.0), fps=fps)
        with pytest.raises(ValueError, match="expected a span"):
            load_clip(source, video, span=(0.9, 0.5), fps=fps)


def test_a_time_is_the_frame_on_screen(tmp_path: Path) -> None:
    delays = [100] * 4 + [1000] + [100] * 7
    reader = open_clip_reader(animated(tmp_path / "slow.gif", delays))
    clip = read_at(reader, [0.0, 0.3, 0.4, 1.39, 1.4, 2.1])
    assert clip.indices == (0, 3, 4, 4, 5, 11)
    assert numbers(clip.frames_FHWC) == [0, 3, 4, 4, 5, 11]
    for outside in (-0.1, 2.2):
        with pytest.raises(ValueError, match=r"the clip has 0 to 2\.100 s"):
            read_at(reader, [outside])


def test_delays_of_none_are_as_browsers_show_them(tmp_path: Path) -> None:
    assert open_clip_reader(animated(tmp_path / "fast.gif", 10)).meta.duration_s == pytest.approx(1.2)
    assert open_clip_reader(animated(tmp_path / "fast.webp", 10)).meta.duration_s == pytest.approx(0.12)
    assert open_clip_reader(animated(tmp_path / "fast.png", 10)).meta.duration_s == pytest.approx(0.12)


def test_pictures_that_are_no_clip(tmp_path: Path, clips: dict[str, Path]) -> None:
    gif = animated(tmp_path / "a.gif")
    data = gif.read_bytes()
    assert gif_frames(gif) == (12, True)
    for kept in (len(data) - 1, len(data) // 2):
        gif.write_bytes(data[:kept])
        with pytest.raises(MediaError) as refused:
            open_clip_reader(gif)
        assert refused.value.kind == "truncated"
    Image.fromarray(FRAMES[0]).save(tmp_path / "still.png")
    with pytest.raises(MediaError, match="a still picture; open it as an image"):
        open_clip_reader(tmp_path / "still.png")
    gif.write_bytes(data)
    for backend in ("pyav", "torchcodec", "decord"):
        with pytest.raises(MediaError) as refused:
            open_clip_reader(gif, backend)
        assert refused.value.kind == "not_exact"


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    pictures = [Image.new("RGBA", (32, 32), (200, 0, 0, 0)) for _ in range(2)]
    pictures[1].putpixel((0, 0), (0, 0, 200, 255))
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    clip = open_clip_reader(tmp_path / "a.webp").read([0, 1])
    assert clip.frames_FHWC[0].min() == 255
    assert clip.frames_FHWC[1, 0, 0].tolist() == [0, 0, 200]
    assert clip.frames_FHWC[1, 5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (FRAMES[0], "shape"),
        (FRAMES[..., :2], "shape"),
        (FRAMES[:, :0], "shape"),
        (FRAMES[:0], "no_frames"),
        (FRAMES / 255, "values"),
    ],
)
def test_arrays_that_are_no_frames(frames: np.ndarray, kind: str) -> None:
    with pytest.raises(MediaError) as refused:
        open_clip_reader(frames, fps=10)
    assert (refused.value.kind, refused.value.path) == (kind, "<array>")


def test_frames_need_a_rate(folder: Path) -> None:
    with pytest.raises(ValueError, match="fps: expected frames per second for a ndarray"):
        open_clip_reader(FRAMES)
    with pytest.raises(ValueError, match="expected frames per second above 0, got 0"):
        open_clip_reader(folder, fps=0)
    with pytest.raises(MediaError) as refused:
        open_clip_reader(folder)
    assert refused.value.kind == "not_a_file"


def test_a_reader_that_crosses_a_fork_says_so_at_once(clips: dict[str, Path], folder: Path) -> None:
    readers = [open_clip_reader(clips["constant"]), open_clip_reader(folder, fps=1), open_clip_reader(FRAMES, fps=1)]
    for reader in readers:
        reader.read([0])
    out, told = os.pipe()
    child = os.fork()
    if child == 0:
        words = []
        for reader in readers:
            try:
                reader.read([0])
                words.append("read")
            except RuntimeError as error:
                words.append("does not survive a fork" if "does not survive a fork" in str(error) else "other")
        # a reader of its own works
        words.append(str(open_clip_reader(clips["constant"]).read([2]).indices))
        os.write(told, "|".join(words).encode())
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    assert os.read(out, 1000).decode() == "|".join(["does not survive a fork"] * 3 + ["(2,)"])


def test_limits_are_kept_before_the_work(clips: dict[str, Path]) -> None:
    for limits, found in (
        (replace(LIMITS, pixels=3000), "64x48 pixels, more than 3000"),
        (replace(LIMITS, frames=3), "4 frames asked for, more than 3"),
        (replace(LIMITS, frame_bytes=30_000), "take 36864 bytes, more than 30000"),
        (replace(LIMITS, clip_bytes=100), "bytes, more than 100"),
    ):
        with pytest.raises(MediaError, match=found) as refused:
            load_clip(clips["constant"], VideoSpec(num_frames=4), limits=limits)
        assert refused.value.kind == "limit"
