"""AVI tells when packets are decoded, not when frames are shown: H.264 with B-frames in it is read by place."""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
import pytest

import video.pyav_reader
from video.container import frames_of
from video.errors import MediaError
from video.reader import open_clip_reader

Write = Callable[..., Path]
NUMBER = 90
KINDS = {
    "fixed": {"bf": "2", "b-adapt": "0"},
    "pyramid": {"bf": "3", "b-adapt": "2", "x264-params": "b-pyramid=normal:ref=4"},
    "most": {"bf": "16", "b-adapt": "0", "x264-params": "b-pyramid=strict:ref=16"},
    "open": {"bf": "3", "b-adapt": "0", "x264-params": "open-gop=1:keyint=15"},
    "none": {"bf": "0"},
}


def written(path: Path, options: Mapping[str, str], numbered: Callable[[int], np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        context = stream.codec_context
        context.height, context.width, context.pix_fmt, context.gop_size, context.thread_count = (
            48,
            64,
            "yuv420p",
            30,
            1,
        )
        context.options = {"preset": "ultrafast", "crf": "18", "sc_threshold": "0", **options}
        for number in range(NUMBER):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def bars(number: int) -> np.ndarray:
    """A number as eight bars over red and blue, as `read_number` reads it."""
    frame_HWC = np.zeros((48, 64, 3), np.uint8)
    for bit in range(8):
        frame_HWC[:24, bit * 8 : (bit + 1) * 8] = 235 if number >> (7 - bit) & 1 else 16
    frame_HWC[24:, :32], frame_HWC[24:, 32:] = (200, 30, 30), (30, 30, 200)
    return frame_HWC


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_frames_are_those_asked_for(
    kind: str, backend: str, tmp_path: Path, read_number: Callable[[np.ndarray], int | None]
) -> None:
    path = written(tmp_path / "clip.avi", KINDS[kind], bars)
    reader = open_clip_reader(path, backend)
    assert reader.meta.num_frames == NUMBER
    for wanted in (range(NUMBER), (0, 1, 44), (NUMBER - 1,), (17, 3, 17)):
        clip = reader.read(wanted)
        assert [read_number(frame) for frame in clip.frames_FHWC] == list(wanted)
        assert np.allclose(clip.times_F, np.array(wanted) / 10)


@pytest.mark.parametrize("kind", ["fixed", "pyramid"])
def test_a_packet_without_a_frame_is_an_error_not_the_next_frame(
    kind: str, tmp_path: Path, read_number: Callable[[np.ndarray], int | None]
) -> None:
    """60 copies, each with one packet overwritten: frames are right, reading fails, or some are missing."""
    path = written(tmp_path / "clip.avi", KINDS[kind], bars)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(60):
        at, size = draw.choice(places)
        # behind the header of the chunk
        damaged = bytearray(data)
        damaged[at + 8 : at + 8 + size] = bytes(draw.randrange(256) for _ in range(size))
        file = tmp_path / "damaged.avi"
        file.write_bytes(damaged)
        try:
            reader = open_clip_reader(file)
            if reader.meta.num_frames < NUMBER:
                assert "corrupt" in reader.timeline.flags
                continue
            clip = reader.read(range(0, NUMBER, 3))
        except MediaError:
            refused += 1
            continue
        assert [read_number(frame) for frame in clip.frames_FHWC] == list(range(0, NUMBER, 3))
    assert refused


@pytest.mark.parametrize("change", ["twice", "of no packet", "left out"])
def test_pictures_that_are_not_one_of_each_packet_are_refused(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that gives a picture too many, or too few, would move all that follow."""

    def changed(container: object, stream: object) -> Iterator[object]:
        for number, frame in enumerate(frames_of(container, stream)):
            if number != 40 or change != "left out":
                yield frame
            if number == 40 and change == "twice":
                yield frame
            elif number == 40 and change == "of no packet":
                frame.pts = 10_000
                yield frame

    reader = open_clip_reader(written(tmp_path / "clip.avi", KINDS["pyramid"], bars))
    monkeypatch.setattr(video.pyav_reader, "frames_of", changed)
    assert reader.read([3]).indices == (3,)
    with pytest.raises(MediaError):
        reader.read([60])
