"""Both backends return the frames asked for, upright, or say why they do not."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anyres.geometry import HW
from video import ClipMeta, MediaError, VideoClip, VideoSpec, clip_meta, load_clip, open_clip_reader, sample

FRAMES = {"one_keyframe": 40, "one_frame": 1, "colon in name": 3, "variable": 15, "open_gop": 45}
DECORD_EXACT = [
    "constant",
    "matroska",
    "bframes",
    "one_keyframe",
    "one_frame",
    "turned_1",
    "turned_2",
    "turned_3",
    "colon in name",
]
NOT_FOR_DECORD = {
    "variable": "a variable frame rate",
    "open_gop": "open groups of pictures",
    "transport": "container mpegts",
    "raw": "container h264",
    "odd": "codec h264 yuv444p",
}


def orders(num_frames: int) -> list[list[int]]:
    everything = list(range(num_frames))
    shuffled = np.random.default_rng(0).permutation(num_frames).tolist()
    return [everything, [num_frames - 1], [num_frames // 2], shuffled[:5], [0, 0, num_frames - 1, num_frames - 1]]


@pytest.mark.parametrize("backend", ["pyav", "auto"])
@pytest.mark.parametrize("name", [*DECORD_EXACT, *NOT_FOR_DECORD])
def test_every_frame_is_the_one_asked_for(
    clips: dict[str, Path], read_number: Callable, name: str, backend: str
) -> None:
    reader = open_clip_reader(clips[name], backend)
    assert reader.meta.num_frames == FRAMES.get(name, 20)
    for indices in orders(reader.meta.num_frames):
        clip = reader.read(indices)
        assert [read_number(frame) for frame in clip.frames_FHWC] == indices
        assert clip.indices == tuple(indices)
        assert clip.frames_FHWC.dtype == np.uint8
        assert clip.frames_FHWC.shape[1:3] == reader.meta.size


@pytest.mark.parametrize("name", DECORD_EXACT)
def test_decord_and_pyav_give_equal_pixels(clips: dict[str, Path], name: str) -> None:
    pytest.importorskip("decord")
    by_decord, by_pyav = open_clip_reader(clips[name], "decord"), open_clip_reader(clips[name], "pyav")
    for indices in orders(by_decord.meta.num_frames):
        ours, theirs = by_decord.read(indices), by_pyav.read(indices)
        assert (ours.reader, theirs.reader) == ("decord", "pyav")
        assert np.array_equal(ours.frames_FHWC, theirs.frames_FHWC)
        assert np.array_equal(ours.times_F, theirs.times_F)


@pytest.mark.parametrize(("name", "reason"), NOT_FOR_DECORD.items())
def test_decord_is_refused_where_it_is_not_exact(clips: dict[str, Path], name: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason) as refused:
        open_clip_reader(clips[name], "decord")
    assert refused.value.kind == "not_exact"


def test_a_missing_or_failing_decord_is_a_typed_error(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decord = pytest.importorskip("decord")

    def fail(*_: object, **__: object) -> None:
        raise decord.DECORDError("[10:00:00] /src/video_reader.cc:270: [/a/b.mp4] no memory\nStack trace")

    reader = open_clip_reader(clips["constant"], "decord")
    monkeypatch.setattr(decord, "VideoReader", fail)
    with pytest.raises(MediaError, match=r"constant\.mp4: no memory; "):
        reader.read([7])
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(MediaError, match="decord cannot be imported"):
        reader.read([7])


def test_a_decord_that_counts_other_frames_is_refused(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decord = pytest.importorskip("decord")
    monkeypatch.setattr(decord.VideoReader, "__len__", lambda _: 19)
    with pytest.raises(MediaError, match="decord gives 19 frames, the packets say 20"):
        open_clip_reader(clips["constant"], "decord").read([7])


def test_meta_of_a_constant_rate(clips: dict[str, Path]) -> None:
    assert clip_meta(clips["constant"]) == ClipMeta(num_frames=20, fps=10.0, size=HW(48, 64), duration_s=2.0)
    assert clip_meta(clips["one_frame"]).duration_s == pytest.approx(0.1)


def test_rotation_is_in_the_size(clips: dict[str, Path]) -> None:
    # stored as 64 rows of 48, shown as 48 rows of 64
    assert clip_meta(clips["turned_1"]).size == HW(48, 64)


def test_times_are_the_files_own(clips: dict[str, Path]) -> None:
    meta = clip_meta(clips["variable"])
    assert meta.duration_s == pytest.approx(9.04, abs=0.01)
    assert meta.fps == pytest.approx(15 / 9.04, rel=0.01)
    clip = open_clip_reader(clips["variable"]).read([0, 4, 7, 14])
    assert clip.times_F.tolist() == pytest.approx([0.0, 0.7, 2.0, 9.0])


def test_load_clip_repeats_the_frames_of_a_short_clip(clips: dict[str, Path], read_number: Callable) -> None:
    clip = load_clip(clips["colon in name"], VideoSpec(num_frames=5))
    assert [read_number(frame) for frame in clip.frames_FHWC] == [0, 0, 1, 1, 2]


def test_a_frame_outside_the_clip_is_refused(clips: dict[str, Path]) -> None:
    for indices in ([20], [-1], []):
        with pytest.raises(ValueError, match=r"the clip has 0 to 19|at least one frame"):
            open_clip_reader(clips["constant"]).read(indices)


def test_an_unknown_backend_is_refused(clips: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="expected 'auto', 'pyav', 'torchcodec', 'decord', got 'opencv'"):
        open_clip_reader(clips["constant"], "opencv")


def reason_of(path: object) -> str:
    with pytest.raises(MediaError) as refused:
        open_clip_reader(path).read([0])
    return refused.value.kind


def test_what_is_not_a_local_video_file(tmp_path: Path, clips: dict[str, Path]) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert reason_of(tmp_path / "none.mp4") == "missing"
    assert reason_of(tmp_path) == "not_a_file"
    assert reason_of(tmp_path / "pipe.mp4") == "not_a_file"
    assert reason_of(tmp_path / "text.mp4") == "not_media"
    assert reason_of(tmp_path / "empty.mp4") == "not_media"
    assert reason_of("https://example.com/clip.mp4") == "not_local"
    assert reason_of(clips["constant"].read_bytes()) == "not_local"


@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ts"])
def test_playlists_open_no_other_file(tmp_path: Path, clips: dict[str, Path], name: str) -> None:
    sibling = tmp_path / "transport.ts"
    sibling.write_bytes(clips["transport"].read_bytes())
    playlist = tmp_path / name
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.0,\ntransport.ts\n#EXT-X-ENDLIST\n")
    assert reason_of(playlist) == "not_media"
    playlist.write_text("ffconcat version 1.0\nfile 'transport.ts'\n")
    assert reason_of(playlist) == "not_media"


@pytest.mark.parametrize("name", ["constant", "matroska"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    import av

    whole = tmp_path / "whole.bin"
    # the index at the front, so that the rest can be cut
    options = {"movflags": "faststart"} if name == "constant" else {}
    container_name = "mp4" if name == "constant" else "matroska"
    with av.open(str(whole), "w", format=container_name, options=options) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.codec_context.height, stream.codec_context.width, stream.codec_context.pix_fmt = 48, 64, "yuv420p"
        noise = np.random.default_rng(0)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    assert clip_meta(whole).num_frames == 20
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 7 // 10])
    assert reason_of(whole) == "truncated"


def test_a_damaged_frame_is_never_replaced_by_another(tmp_path: Path, clips: dict[str, Path]) -> None:
    data = bytearray(clips["one_keyframe"].read_bytes())
    start = data.index(b"mdat") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big") - 8
    half, end = start + length // 2, start + length
    data[half:end] = np.random.default_rng(0).integers(0, 255, end - half, dtype=np.uint8).tobytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    for backend in ("pyav", "decord", "auto"):
        with pytest.raises(MediaError) as refused:
            open_clip_reader(broken, backend).read([39])
        assert refused.value.kind == "damaged"
    assert str(refused.value).startswith(str(broken))


def test_errors_and_readers_cross_process_borders(clips: dict[str, Path]) -> None:
    error = pickle.loads(pickle.dumps(MediaError("a.mp4", "missing", "No such file")))
    assert (error.kind, error.path, error.detail) == ("missing", "a.mp4", "No such file")
    assert str(error) == f"a.mp4: No such file; {error.hint} [missing]"
    reader = pickle.loads(pickle.dumps(open_clip_reader(clips["constant"])))
    assert reader.read([3]).indices == (3,)


def test_planning_a_clip_loads_no_torch(clips: dict[str, Path], root: Path) -> None:
    code = (
        "import sys\nfrom video import VideoSpec, clip_meta, open_clip_reader, plan_clip\n"
        "assert not {'av', 'decord', 'torch'} & set(sys.modules)\n"
        f"assert clip_meta({str(clips['constant'])!r}).num_frames == 20\n"
        f"open_clip_reader({str(clips['constant'])!r}).read([1])\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "frames", "fps", "size"),
    [
        ("flipping_a_pancake.mkv", 310, 30.0, HW(240, 426)),
        ("unordered.mov", 4, 32.0, HW(50, 50)),
        ("video_90.mov", 3, 30.0, HW(568, 320)),
        ("xU25MMA2N4aVtYay.mp4", 96, 30.0, HW(720, 1280)),
    ],
)
def test_real_clips_are_read_upright(shared: Path, name: str, frames: int, fps: float, size: HW) -> None:
    reader = open_clip_reader(shared / "media" / name)
    assert (reader.meta.num_frames, reader.meta.fps, reader.meta.size) == (frames, fps, size)
    clip: VideoClip = reader.read(sample(reader.meta, VideoSpec(num_frames=4)))
    assert clip.frames_FHWC.shape == (4, *size, 3)
    exact = open_clip_reader(shared / "media" / name, "pyav").read(clip.indices)
    assert np.array_equal(clip.frames_FHWC, exact.frames_FHWC)


def test_a_real_damaged_clip_is_refused(shared: Path) -> None:
    """Its frames from the 28th on do not decode; those before are right."""
    broken = shared / "media" / "corrupted.mp4"
    assert open_clip_reader(broken).read([0, 27]).frames_FHWC.shape[0] == 2
    with pytest.raises(MediaError, match=r"corrupted\.mp4") as refused:
        load_clip(broken, VideoSpec())
    assert refused.value.kind == "damaged"
