"""Pages of Ogg files: FFmpeg leaves a damaged one out and says nothing; here the file is refused."""

import random
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from video.crc import crc
from video.errors import MediaError
from video.ogg import wrong_pages
from video.reader import open_clip_reader


def written(path: Path) -> Path:
    # a page for each few pictures
    with av.open(str(path), "w", options={"page_duration": "300000"}) as container:
        stream = container.add_stream("libvpx", rate=10, options={"g": "6"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(24):
            grey_HWC = np.full((64, 96, 3), 8 * number, np.uint8)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(grey_HWC, format="rgb24").reformat(format="yuv420p"))
            )
        container.mux(stream.encode(None))
    return path


def pages(data: bytes) -> list[int]:
    """Return where pages begin."""
    return [place for place in range(len(data)) if data[place : place + 5] == b"OggS\x00"]


def test_published_value() -> None:
    # of the same polynomial, CRC-32/CKSUM is published: it ends inverted
    assert crc(b"123456789") ^ 0xFFFFFFFF == 0x765E7680
    assert crc(b"") == 0


def test_every_flip_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    data = path.read_bytes()
    assert len(pages(data)) > 5
    assert wrong_pages(path) == 0
    clip = open_clip_reader(path).read([0, 12, 23])
    assert clip.flags == ()
    assert [round(float(frame.mean())) for frame in clip.frames_FHWC] == pytest.approx([0, 96, 184], abs=4)
    draw = random.Random(1)
    for _ in range(100):
        spoilt = bytearray(data)
        spoilt[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        assert wrong_pages(path) > 0
        with pytest.raises(MediaError):
            open_clip_reader(path).read(range(24))


def test_page_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    data = path.read_bytes()
    starts = pages(data)
    path.write_bytes(data[: starts[4]] + data[starts[5] :])
    assert wrong_pages(path) == 1
    with pytest.raises(MediaError, match="1 of its pages do not fit their checksum, or are not there") as caught:
        open_clip_reader(path)
    assert caught.value.kind == "damaged"
    # who wants what there is gets it, told
    assert "count" in open_clip_reader(path, partial=True).read([0]).flags


def test_cut_and_continued_files(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    assert wrong_pages(path) == 1
    # two files one after the other, and something behind the last page
    path.write_bytes(data + data + b"TAG and so on")
    assert wrong_pages(path) == 0


def test_marks_without_pages_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes((b"OggS" + struct.pack("<BBqIIIB", 0, 0, 0, 1, 0, 0, 255)) * 20_000)
    assert wrong_pages(path) == 1000
