"""What strict decoders and the packets of a transport stream tell: odd pictures are flagged, healthy files are not."""

from pathlib import Path

import av
import numpy as np
import pytest

from video.errors import MediaError
from video.reader import open_clip_reader
from video.transport import whole_packets

FRAMES = 24


def written(path: Path, codec: str, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        draw = np.random.default_rng(0)
        for number in range(FRAMES):
            picture_HWC = draw.integers(0, 60, (64, 96, 3), dtype=np.uint8)
            picture_HWC[:, 4 * number % 80 :][:, :16] = 200
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(picture_HWC, format="rgb24").reformat(format="yuv420p"))
            )
        container.mux(stream.encode(None))
    return path


def outcomes(path: Path, flips: int, first: int, last: int) -> dict[str, int]:
    """Return what becomes of a file with one bit flipped between two of its bytes."""
    data = path.read_bytes()
    right = open_clip_reader(path).read(range(FRAMES))
    assert right.flags == ()
    draw = np.random.default_rng(2)
    found = {"right": 0, "refused": 0, "flagged": 0, "silent": 0}
    for _ in range(flips):
        spoilt = bytearray(data)
        spoilt[draw.integers(first, last)] ^= 1 << int(draw.integers(8))
        path.write_bytes(spoilt)
        try:
            clip = open_clip_reader(path).read(range(FRAMES))
        except (MediaError, ValueError):
            found["refused"] += 1
            continue
        same = np.array_equal(clip.frames_FHWC, right.frames_FHWC)
        found["flagged" if clip.flags else "right" if same else "silent"] += 1
    return found


def test_picture_hashes_of_hevc(tmp_path: Path) -> None:
    """An encoder may write the MD5 of each picture: FFmpeg compares it where it is told to."""
    params = "hash={}:keyint=8:open-gop=0:log-level=none"
    silent = {}
    for kind in (0, 1):
        path = written(
            tmp_path / f"{kind}.mp4", "libx265", **{"x265-params": params.format(kind), "preset": "ultrafast"}
        )
        data = path.read_bytes()
        media = data.index(b"mdat") + 4
        silent[kind] = outcomes(path, 40, media, len(data))["silent"]
    assert silent[0] > 5
    assert silent[1] == 0


def test_leftovers_of_h264_without_arithmetic_coding(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", "libx264", preset="ultrafast", g="8", crf="20")
    data = path.read_bytes()
    media = data.index(b"mdat") + 4
    found = outcomes(path, 40, media + 1000, media + int.from_bytes(data[media - 8 : media - 4], "big") - 8)
    assert found["flagged"] > 0
    assert found["refused"] > 0


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "avi", "h264"])
def test_healthy_files_raise_no_flag(tmp_path: Path, kind: str) -> None:
    for options in (
        {"preset": "ultrafast"},
        # an AVI has no times of presentation
        {"preset": "medium", "bf": "0" if kind == "avi" else "2"},
        {"coder": "0", "bf": "0", "x264-params": "slice-max-size=300"},
    ):
        clip = open_clip_reader(written(tmp_path / f"a.{kind}", "libx264", **options)).read([1, 7, 22])
        assert "corrupt" not in clip.flags


def test_open_groups_are_no_damage(tmp_path: Path) -> None:
    params = "open-gop=1:keyint=8:bframes=3:b-pyramid=normal:scenecut=0:b-adapt=0"
    for kind in ("mp4", "mkv"):
        reader = open_clip_reader(written(tmp_path / f"a.{kind}", "libx264", **{"x264-params": params}))
        assert not reader.index.closed_gops
        for number in range(reader.meta.num_frames):
            assert reader.read([number]).flags == ()


def test_gap_between_packets_of_a_transport_stream(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ts", "libx264", bf="0")
    data = path.read_bytes()
    assert len(data) % 188 == 0
    assert whole_packets(path)
    assert open_clip_reader(path).read([5]).flags == ()
    for place in (len(data) // 2 // 188 * 188, len(data) // 2, len(data) - 5):
        path.write_bytes(data[:place] + b"\x47" * 13 + data[place:])
        assert not whole_packets(path)
    path.write_bytes(data[: 188 * 40] + b"\x00" * 13 + data[188 * 40 :])
    assert open_clip_reader(path).read([2]).flags == ("corrupt",)


def test_other_layouts_of_transport_streams(tmp_path: Path) -> None:
    packets = [b"\x47" + bytes([number]) * 187 for number in range(50)]
    path = tmp_path / "a.ts"
    layouts = {
        "plain": b"".join(packets),
        "begins in the middle": b"".join(packets)[100:],
        "with times": b"".join(b"time" + packet for packet in packets),
        "with checksums": b"".join(packet + b"0123456789012345" for packet in packets),
        "few": b"".join(packets[:3]),
    }
    for data in layouts.values():
        path.write_bytes(data)
        assert whole_packets(path)
    path.write_bytes(layouts["with times"][:-1])
    assert not whole_packets(path)
    for place in (0, 188, 5 * 188):
        path.write_bytes(layouts["plain"][:place] + b"\xff" + layouts["plain"][place + 1 :])
        assert not whole_packets(path)
