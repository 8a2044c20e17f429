"""Recorded checksums of clips: every backend, decoder processes, folders of frames and pieces of long clips refuse."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from anyres.limits import LIMITS, MediaLimits
from video.clip import VideoSpec
from video.errors import MediaError
from video.reader import BACKENDS, Backend, load_clip, open_clip_reader
from video.unread import choose, read_pieces
from video.worker import Workers

FOUR = VideoSpec(num_frames=4)


def listed(folder: Path) -> MediaLimits:
    """Record every file of a folder and of those below it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return replace(LIMITS, checksums=str(folder / "SHA256SUMS"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0", "g": "5", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            grey_HWC = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey_HWC, format="rgb24")))
        container.mux(stream.encode())
    return path


def change(path: Path) -> None:
    """Change a byte of the first picture: most decoders show something."""
    data = bytearray(path.read_bytes())
    data[-len(data) // 2] ^= 1
    path.write_bytes(data)


def refused(read: object, *given: object, **named: object) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(*given, **named)
    assert caught.value.kind == "checksum"
    return caught.value


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_every_backend(clip: Path, backend: Backend) -> None:
    limits = listed(clip.parent)
    assert open_clip_reader(clip, "auto", limits=limits).meta.num_frames == 10
    change(clip)
    error = refused(load_clip, clip, FOUR, backend, limits=limits)
    assert error.path == str(clip)
    assert "its sha256 is" in error.detail


def test_decoder_processes(clip: Path) -> None:
    limits = listed(clip.parent)
    with Workers(1, limits) as workers:
        assert len(workers.load_clip(clip, FOUR).indices) == 4
        unread = workers.choose(clip, FOUR)
        change(clip)
        refused(workers.load_clip, clip, FOUR)
        refused(workers.choose, clip, FOUR)
        refused(lambda: next(read_pieces(unread, unread.indices, None, workers)))
        picture = clip.parent / "new.png"
        Image.new("RGB", (4, 4)).save(picture)
        assert "not listed" in refused(workers.open_image, picture).detail
    with Workers(1, replace(limits, unlisted="read")) as workers:
        assert workers.open_image(picture).size == (4, 4)


def test_a_long_clip_that_changes_between_its_pieces(clip: Path) -> None:
    limits = listed(clip.parent)
    unread = choose(clip, FOUR, limits=limits)
    assert len(next(read_pieces(unread, unread.indices, None)).indices) == 4
    change(clip)
    refused(lambda: next(read_pieces(unread, unread.indices, None)))


def test_frames_of_a_folder_and_animated_pictures(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    pictures = [Image.new("RGB", (8, 6), (40 * number, 0, 0)) for number in range(4)]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "frames" / f"{number}.png")
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    limits = listed(tmp_path)
    assert len(load_clip(tmp_path / "frames", FOUR, fps=2, limits=limits).indices) == 4
    assert len(load_clip(tmp_path / "a.gif", FOUR, limits=limits).indices) == 4
    Image.new("RGB", (8, 6), (0, 0, 9)).save(tmp_path / "frames" / "2.png")
    change(tmp_path / "a.gif")
    assert refused(load_clip, tmp_path / "frames", FOUR, fps=2, limits=limits).path.endswith("2.png")
    refused(load_clip, tmp_path / "a.gif", FOUR, limits=limits)


def test_the_same_file_with_another_time(clip: Path) -> None:
    limits = listed(clip.parent)
    load_clip(clip, FOUR, limits=limits)
    os.utime(clip)
    assert len(load_clip(clip, FOUR, limits=limits).indices) == 4
