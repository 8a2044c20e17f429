"""Checksums of Matroska clusters and FFV1 slices: frames that do not fit are not given, and healthy files are read."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from video.bench.hostile import read_one
from video.clusters import read_clusters
from video.container import opened, packets_of
from video.errors import MediaError
from video.ffv1 import slices_fit
from video.packets import index_packets
from video.reader import BACKENDS, open_clip_reader

FRAMES = 12


def written(
    path: Path,
    codec: str = "ffv1",
    pixels: str = "yuv420p",
    mux: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write frames that are grey, each by 20 levels lighter than the one before, with some noise."""
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 96, pixels
        stream.codec_context.thread_count = 1
        draw = np.random.default_rng(0)
        for number in range(FRAMES):
            grey_HWC = np.repeat(draw.integers(0, 8, (64, 96, 1), dtype=np.uint8), 3, axis=2) + np.uint8(20 * number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey_HWC, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path


def spoil(path: Path, place: int) -> Path:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    return path


def places_of(path: Path) -> list[tuple[int, int]]:
    """Return place and size of every packet."""
    with opened(path) as (container, stream):
        return [(packet.pos, packet.size) for packet in packets_of(container, stream) if packet.size]


def readable(path: Path, backend: str = "auto") -> list[int]:
    """Return the frames that are given, each asked for by itself; those that are must be right."""
    reader = open_clip_reader(path, backend)
    found = []
    for number in range(reader.meta.num_frames):
        try:
            clip = reader.read([number])
        except MediaError as error:
            assert error.kind == "damaged"
            assert "do not fit the checksums in the file" in error.detail
            continue
        assert abs(int(clip.frames_FHWC.mean()) - 20 * number) < 8
        assert clip.flags == ("corrupt",)
        found.append(number)
    return found


# AVI has no checksums of its own
@pytest.mark.parametrize("group", [1, 4])
def test_ffv1_slice_that_does_not_fit(tmp_path: Path, group: int) -> None:
    path = written(tmp_path / "a.avi", slices="4", slicecrc="1", level="3", g=str(group))
    assert open_clip_reader(path).read(range(FRAMES)).flags == ()
    place, size = places_of(path)[5]
    spoil(path, place + size // 2)
    # the others of its group may refer to it: those behind it, up to the next group
    hidden = [5] if group == 1 else [5, 6, 7]
    assert readable(path) == [number for number in range(FRAMES) if number not in hidden]
    with pytest.raises(MediaError, match=rf"{len(hidden)} of the frames asked for.*: 5 \(0\.50 s\)"):
        open_clip_reader(path).read(range(FRAMES))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_backend_shows_it(tmp_path: Path, backend: str) -> None:
    pytest.importorskip("av" if backend == "pyav" else backend)
    path = written(tmp_path / "a.mkv", slices="4", slicecrc="1", level="3", g="1")
    place, size = places_of(path)[5]
    spoil(path, place + size // 2)
    item = {"id": "v", "expect": {"outcome": "either"}}
    assert read_one(item, str(path), backend)["verdict"].startswith("error: ")


PIXELS = ("yuv420p", "yuv444p10le", "gray16le", "bgr0")


@pytest.mark.parametrize("pixels", PIXELS)
def test_healthy_ffv1_raises_no_alarm(tmp_path: Path, pixels: str) -> None:
    for sums, slices, coder in itertools.product("01", ("4", "24"), "01"):
        path = written(tmp_path / "a.nut", pixels=pixels, slicecrc=sums, slices=slices, coder=coder, level="3")
        clip = open_clip_reader(path).read(range(FRAMES))
        assert clip.flags == ()
    # versions 1 (no checksums) and 4 (another start of the CRC)
    for options in ({"level": "1"}, {"level": "4", "slicecrc": "2", "slices": "4", "strict": "-2"}):
        path = written(tmp_path / "a.nut", pixels=pixels, **options)
        assert open_clip_reader(path).read(range(FRAMES)).flags == ()


def test_every_flip_of_an_ffv1_picture_is_noticed(tmp_path: Path) -> None:
    for options in ({"level": "3", "slicecrc": "1"}, {"level": "4", "slicecrc": "2", "strict": "-2"}):
        path = written(tmp_path / "a.mkv", slices="4", **options)
        with opened(path) as (container, stream):
            packet = bytes(next(packets_of(container, stream)))
        assert slices_fit(packet)
        for place in np.random.default_rng(1).integers(0, len(packet), 300):
            spoilt = bytearray(packet)
            spoilt[place] ^= 16
            assert not slices_fit(bytes(spoilt))
        assert not slices_fit(packet[:-1])


def test_matroska_cluster_that_does_not_fit(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mkv", "libx264", mux={"cluster_time_limit": "400"}, g="3", bf="0", crf="10")
    assert open_clip_reader(path).read(range(FRAMES)).flags == ()
    clusters = read_clusters(path)
    assert clusters.checked
    assert all(clusters.whole)
    places = places_of(path)
    place, size = places[4]
    spoil(path, place + size - 3)
    assert read_clusters(path).whole.count(False) == 1
    together = [number for number, (at, _) in enumerate(places) if not read_clusters(path).holds(at)]
    assert 4 in together
    assert 1 < len(together) < 6
    # those of the cluster, and what follows up to the next group of three
    until = -(-(together[-1] + 1) // 3) * 3
    assert readable(path) == [*range(together[0]), *range(until, FRAMES)]


def test_frames_of_an_open_group_may_refer_to_the_one_before(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "bf": "2", "b-adapt": "0", "crf": "10"}
    options["x264-params"] = "open-gop=1:keyint=6:min-keyint=3:scenecut=0"
    path = written(tmp_path / "a.mkv", "libx264", mux={"cluster_time_limit": "100"}, **options)
    index = index_packets(path)
    assert not index.closed_gops
    with opened(path) as (container, stream):
        packets = [(packet.pos, packet.pts, packet.is_keyframe) for packet in packets_of(container, stream)][:-1]
    # the last packets before the second starting point, in order of decoding
    start = [number for number, (_, _, key) in enumerate(packets) if key][1]
    spoil(path, packets[start - 1][0] + 20)
    clusters = read_clusters(path)
    hit = [pts for at, pts, _ in packets if not clusters.holds(at)]
    leading = [pts for _, pts, _ in packets[start + 1 :] if pts < packets[start][1]]
    assert leading
    assert not set(leading) & set(hit)
    damaged = index_packets(path).damaged
    assert {index.pts_F[frame] for frame in damaged} >= {*hit, *leading}
    assert index.pts_F.index(packets[start][1]) not in damaged
    assert readable(path) == [number for number in range(FRAMES) if number not in damaged]


def test_clusters_without_checksums_are_not_judged(tmp_path: Path) -> None:
    path = written(tmp_path / "a.webm", "libvpx", g="3")
    clusters = read_clusters(path)
    assert not clusters.checked
    assert clusters.holds(0)
    assert open_clip_reader(path).read(range(FRAMES)).flags == ()


def test_description_of_the_tracks(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mkv", "libx264")
    # the seek head names them first
    tracks = path.read_bytes().rindex(b"\x16\x54\xae\x6b")
    spoil(path, tracks + 40)
    with pytest.raises(MediaError, match="tracks do not fit their checksum") as caught:
        open_clip_reader(path)
    assert caught.value.kind == "damaged"


def test_cut_recording_that_tells_no_length(tmp_path: Path) -> None:
    """A live recording that was stopped: its last cluster is cut, which is no damage of what is there."""
    path = written(tmp_path / "a.mkv", "libx264", mux={"live": "1", "cluster_time_limit": "400"}, g="3", bf="0")
    data = path.read_bytes()
    path.write_bytes(data[: places_of(path)[10][0] + 12])
    reader = open_clip_reader(path)
    assert reader.index.damaged == frozenset()
    assert reader.meta.num_frames >= 9


def test_lengths_that_lie_end(tmp_path: Path) -> None:
    """Marks of clusters one after the other, each told to last to the end: read twice at most, and not 10,000 times."""
    lying = b"\x1f\x43\xb6\x75" + (1 << 56 | 1 << 17).to_bytes(8, "big") + b"\xbf\x84" + b"\x00" * 4
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + lying * 10_000)
    assert not read_clusters(path).holds(100)


def test_no_more_elements_are_looked_at_than_a_long_clip_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, nothing = tmp_path / "a.webm", b"\xec\x80" * 1000
    length = (1 << 56 | len(nothing) + 1).to_bytes(8, "big")
    head = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff"
    # a cluster that does not end where its elements do, and elements beside it
    path.write_bytes(head + b"\x1f\x43\xb6\x75" + length + nothing + b"\xec" + nothing)
    assert read_clusters(path).gaps
    monkeypatch.setattr("video.clusters.MOST_ELEMENTS", 100)
    assert not read_clusters(path).gaps


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_of_a_matroska_is_refused_or_told(tmp_path: Path, seed: int) -> None:
    path = written(tmp_path / "a.mkv", "mpeg4", g="6", mux={"cluster_time_limit": "400"})
    data = path.read_bytes()
    right = open_clip_reader(path).read(range(FRAMES)).frames_FHWC
    draw = np.random.default_rng(seed)
    for _ in range(25):
        spoilt = bytearray(data)
        for place in draw.integers(60, len(data), draw.integers(1, 4)):
            spoilt[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(spoilt)
        assert not _wrong(path, right, range(FRAMES))


def _wrong(path: Path, right: np.ndarray, numbers: Sequence[int]) -> bool:
    """Tell whether frames are given without a word that are not the right ones."""
    try:
        clip = open_clip_reader(path).read(numbers)
    except (MediaError, ValueError):
        return False
    return not clip.flags and not np.array_equal(clip.frames_FHWC, right)
