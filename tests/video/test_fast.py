"""Groups of pictures, decoding without pictures that nothing refers to, early resize, streams and sweeps."""

import av
import numpy as np
import pytest

from anyres.geometry import HW
from anyres.grid import TileSpec
from anyres.pixels import render_uint8
from video import VideoSpec, load_clip, open_clip_reader, plan_clip
from video.early import early_size, resized
from video.gops import batches, gops, queued
from video.parallel import decode_groups
from video.stream import pieces, stream
from video.sweep import load_sweep

X264 = {
    "pyramid": {"bf": "3", "b-adapt": "0", "b_pyramid": "normal", "x264-params": "keyint=12:min-keyint=12:ref=3"},
    "plain b": {"bf": "2", "b-adapt": "0", "b_pyramid": "none"},
    "no b": {"bf": "0"},
    "interlaced": {"bf": "2", "b-adapt": "0", "x264-params": "tff=1:interlaced=1"},
    "open": {"bf": "2", "b-adapt": "0", "x264-params": "open-gop=1:keyint=10:min-keyint=5:bframes=2"},
}


def moving(path, codec="libx264", options=None, num_frames=60, gop=12):
    """Write noise that moves, so that every picture refers to others."""
    size = HW(96, 128)
    world = np.random.default_rng(3).integers(0, 256, (size.h + 80, size.w + 80, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        container_stream = container.add_stream(codec, rate=10, options={"preset": "fast", **(options or {})})
        container_stream.height, container_stream.width, container_stream.pix_fmt = *size, "yuv420p"
        container_stream.codec_context.gop_size = gop
        for number in range(num_frames):
            shown = np.ascontiguousarray(world[number : number + size.h, number // 2 : number // 2 + size.w])
            container.mux(container_stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(container_stream.encode(None))
    return path


def one_by_one(path):
    """Return every frame of a file, decoded from the first to the last."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("name", X264)
@pytest.mark.parametrize("workers", [1, 3])
def test_frames_are_those_of_a_full_decode(name, workers, tmp_path, monkeypatch):
    # small pictures are worth a second decoder too
    monkeypatch.setattr("video.gops.WORTH_A_DECODER", 1)
    path = moving(tmp_path / "clip.mp4", options=X264[name])
    truth_FHWC = one_by_one(path)
    reader = open_clip_reader(path)
    for step in (1, 5, 17):
        wanted = list(range(0, len(truth_FHWC), step))
        clip = reader.read(wanted, workers=workers)
        assert np.array_equal(clip.frames_FHWC, truth_FHWC[wanted])


def test_hevc_of_closed_groups_and_one_layer_is_decoded_fast(tmp_path):
    closed = {"x265-params": "open-gop=0:keyint=12:min-keyint=12:bframes=3:log-level=none"}
    path = moving(tmp_path / "clip.mp4", "libx265", closed)
    truth_FHWC, reader, seen = one_by_one(path), open_clip_reader(path), {}

    kept = decode_groups(reader.index, [7, 30, 59], lambda number, frame: seen.update({number: frame}))

    assert kept.frames == {7, 30, 59}
    assert not kept.odd
    for number, frame in seen.items():
        assert np.array_equal(frame.to_ndarray(format="rgb24"), truth_FHWC[number])


def test_pictures_that_nothing_refers_to_are_left_out(tmp_path):
    from video.container import opened
    from video.skipping import shown, skippable

    path = moving(tmp_path / "clip.mp4", options=X264["plain b"])
    index = open_clip_reader(path).index
    (group,) = gops(index.pts_F, index.key_pts, [11])
    with opened(path) as (container, video_stream):
        assert skippable(index, video_stream)
        decoded = []
        context = video_stream.codec_context
        for number, frame in shown(index, container, video_stream, group, skip=True):
            decoded.append((number, frame.pts))
        assert [number for number, _ in decoded] == [11]
        assert str(context.skip_frame).upper().endswith("DEFAULT")


def test_damaged_groups_are_left_to_the_plain_decoder(tmp_path):
    path = moving(tmp_path / "clip.mp4", options=X264["pyramid"])
    index = open_clip_reader(path).index
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        # the second group's first picture behind its keyframe
        start = next(i for i, packet in enumerate(packets) if packet.is_keyframe and i > 0) + 1
        place, size = packets[start].pos, packets[start].size
    data = bytearray(path.read_bytes())
    data[place : place + size] = b"\xff" * size
    path.write_bytes(data)

    kept = decode_groups(index, [3, 20, 40], lambda number, frame: None)

    assert kept.frames == {3, 40}
    assert kept.odd


def test_groups_hold_their_frames_and_cost():
    found = gops(range(0, 400, 10), (0, 100, 200, 300), (0, 3, 12, 39))
    assert [(group.start, group.frames, group.cost) for group in found] == [
        (0, (0, 3), 4),
        (100, (12,), 3),
        (300, (39,), 10),
    ]
    hd = HW(720, 1280)
    # some 17 pictures of 720p are not worth a second decoder, and are read forward; ten times as many are
    assert queued(found, hd, 2) == (found, 1)
    big = gops(range(4000), range(0, 4000, 100), [*range(99, 4000, 400), 250])
    order, decoders = queued(sorted(big, key=lambda group: group.start), hd, 2)
    assert decoders == 2
    assert [group.cost for group in order] == [100] * 10 + [51]
    assert sorted(group.start for group in order) == sorted(group.start for group in big)
    big = gops(range(4000), range(0, 4000, 100), range(99, 4000, 400))
    assert [len(run) for run in batches(big, 4)] == [4, 4, 2]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [HW(90, 160), HW(161, 95), HW(120, 120)])
def test_early_resize_changes_no_pixel_of_the_tiles(fit, size):
    frame_HWC = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    video, tile = VideoSpec(fit=fit, num_frames=1), TileSpec(px=42, tok=3)
    early = early_size(size, video, tile)
    if early is None:
        assert fit == "pad" and size.h != size.w
        return
    small_HWC = resized(frame_HWC, early)
    assert small_HWC.shape == (*early, 3)
    full, small = plan_clip(size, 1, video, tile), plan_clip(early, 1, video, tile)
    fill = (1, 2, 3)
    assert full.segments == small.segments
    assert np.array_equal(render_uint8(full, [frame_HWC], fill), render_uint8(small, [small_HWC], fill))


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_a_clip_for_a_tile_holds_what_the_tile_shows(backend, tmp_path):
    path = moving(tmp_path / "clip.mp4", options=X264["no b"])
    video, tile = VideoSpec(num_frames=4), TileSpec(px=42, tok=3)
    whole, small = load_clip(path, video, backend), load_clip(path, video, backend, tile=tile)
    assert small.frames_FHWC.shape == (4, 42, 42, 3)
    assert small.meta == whole.meta and small.indices == whole.indices
    expected = np.stack([resized(frame_HWC, HW(42, 42)) for frame_HWC in whole.frames_FHWC])
    assert np.array_equal(small.frames_FHWC, expected)


def test_frames_that_must_stay_whole_are_not_resized():
    assert early_size(HW(720, 1280), VideoSpec(fit="pad"), TileSpec(px=42, tok=3)) is None
    # nor are those that would grow
    assert early_size(HW(30, 30), VideoSpec(), TileSpec(px=42, tok=3)) is None


def test_a_stream_gives_every_frame_once_and_in_order(tmp_path):
    path = moving(tmp_path / "clip.mp4", options=X264["pyramid"])
    reader = open_clip_reader(path)
    wanted = [0, 0, *range(1, 60, 3), 59]
    clips = list(stream(reader, wanted, HW(20, 30), num_frames=5))

    assert [frame for clip in clips for frame in clip.indices] == wanted
    whole = reader.read(wanted, size=HW(20, 30)).frames_FHWC
    assert np.array_equal(np.concatenate([clip.frames_FHWC for clip in clips]), whole)
    starts = [{frame // 12 for frame in clip.indices} for clip in clips]
    # no group of pictures is in two pieces
    assert sum(map(len, starts)) == len(set().union(*starts))


def test_a_long_group_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("video.stream.MOST_FRAMES", 8)
    reader = open_clip_reader(moving(tmp_path / "clip.mp4", gop=1000))
    assert max(map(len, pieces(reader, list(range(60)), 5))) <= 8


def test_several_settings_come_out_of_one_decode(tmp_path, monkeypatch):
    path = moving(tmp_path / "clip.mp4", options=X264["pyramid"])
    videos = [VideoSpec(num_frames=count) for count in (3, 8, 70)] + [VideoSpec(policy="fps", fps=2, num_frames=99)]
    alone = [load_clip(path, video) for video in videos]

    calls = []
    decode = decode_groups
    monkeypatch.setattr("video.pyav_reader.decode_groups", lambda *given: calls.append(given[1]) or decode(*given))
    together = load_sweep(path, videos)

    assert len(calls) == 1
    for one, other in zip(alone, together, strict=True):
        assert one.indices == other.indices
        assert np.array_equal(one.frames_FHWC, other.frames_FHWC)
        assert np.array_equal(one.times_F, other.times_F)
