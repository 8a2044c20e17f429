"""Structure that does not hold: pictures are lost between elements or boxes without a word of FFmpeg; flagged here."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from video.clusters import read_clusters
from video.errors import MediaError
from video.mp4 import media_seconds, whole_boxes
from video.reader import open_clip_reader

FRAMES = 24


def written(path: Path, codec: str, mux: dict[str, str] | None = None) -> Path:
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=10, options={"g": "6"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(FRAMES):
            grey_HWC = np.full((64, 96, 3), 8 * number, np.uint8)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(grey_HWC, format="rgb24").reformat(format="yuv420p"))
            )
        container.mux(stream.encode(None))
    return path


def flags_of(path: Path) -> tuple[str, ...]:
    return open_clip_reader(path).read([0]).flags


@pytest.mark.parametrize("live", ["0", "1"])
def test_bytes_between_the_blocks_of_a_webm(tmp_path: Path, live: str) -> None:
    path = written(tmp_path / "a.webm", "libvpx", {"live": live})
    assert not read_clusters(path).gaps
    assert flags_of(path) == ()
    data = path.read_bytes()
    first = data.index(b"\x1f\x43\xb6\x75")
    block = data.index(b"\xa3", first + 200)
    path.write_bytes(data[:block] + b"\x00" * 40 + data[block:])
    assert read_clusters(path).gaps
    assert "corrupt" in flags_of(path)


def test_damaged_head_of_a_webm(tmp_path: Path) -> None:
    """The segment's length is damaged: FFmpeg finds one picture in it, and no more."""
    path = written(tmp_path / "a.webm", "libvpx")
    data = bytearray(path.read_bytes())
    information = data.index(b"\x15\x49\xa9\x66", 100)
    data[information + 6 : information + 6] = b"\xff" * 3
    path.write_bytes(data)
    assert read_clusters(path).gaps
    try:
        assert "corrupt" in flags_of(path)
    except MediaError as error:
        assert error.kind in ("damaged", "not_media", "truncated")


@pytest.mark.parametrize("mux", [{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe"}], ids=str)
def test_boxes_of_an_mp4(tmp_path: Path, mux: dict[str, str]) -> None:
    path = written(tmp_path / "a.mp4", "mpeg4", mux)
    assert whole_boxes(path)
    assert "corrupt" not in flags_of(path)
    data = path.read_bytes()
    # a box of nothing is allowed, bytes that are none are not
    path.write_bytes(data + struct.pack(">I4s", 8, b"free"))
    assert whole_boxes(path)
    path.write_bytes(data + b"\x00\x00\x00\x05" + b"junk")
    assert not whole_boxes(path)
    assert "corrupt" in flags_of(path)


def test_a_movie_longer_than_its_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", "libx264")
    data = path.read_bytes()
    # what ends it are notes, which nobody misses
    path.write_bytes(data[:-5])
    assert not whole_boxes(path)
    assert "corrupt" in flags_of(path)


def test_boxes_in_boxes_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"".join(struct.pack(">I4s", 8 * (5000 - number), b"moov") for number in range(5000)))
    assert not whole_boxes(path)


def test_an_mp4_whose_samples_do_not_last_as_long_as_it_says(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", "libx264")
    assert media_seconds(path, 1) == pytest.approx(2.4)
    assert media_seconds(path, 2) is None
    data = bytearray(path.read_bytes())
    table = data.index(b"stts") + 8
    entries, samples, ticks = struct.unpack(">III", data[table : table + 12])
    assert (entries, samples) == (1, FRAMES)
    data[table + 8 : table + 12] = struct.pack(">I", 10 * ticks)
    path.write_bytes(data)
    assert "time" in flags_of(path)
