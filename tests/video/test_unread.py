"""Clips that are chosen and not read: what plans need of them, and their frames piece by piece, with flat memory."""

import gc
import struct

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from anyres.geometry import HW
from anyres.grid import TileSpec
from video import VideoSpec, load_clip, open_clip_reader
from video.errors import MediaError
from video.unread import PIECE, choose, read_pieces
from video.worker import Workers

SIZE = HW(48, 64)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """90 frames of noise at 10 a second, a keyframe every 12."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    random = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(90):
            shown = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("span", [None, (2.05, 6.0)])
@pytest.mark.parametrize("changes", [{}, {"policy": "fps_time", "fps": 5.0}, {"decode_px": 24}])
def test_a_chosen_clip_is_the_one_that_is_read(path, changes, span):
    video = VideoSpec(num_frames=70, **changes)
    tile = TileSpec(px=42, tok=3)
    read, unread = load_clip(path, video, span=span, tile=tile), choose(path, video, span=span)
    whole = load_clip(path, video, span=span)
    assert unread.indices == read.indices and np.array_equal(unread.times_F, read.times_F)
    assert (unread.meta, unread.reader, unread.flags) == (read.meta, read.reader, read.flags)
    # the shape that a plan sees, without its memory
    assert unread.frames_FHWC.shape == whole.frames_FHWC.shape
    assert not unread.frames_FHWC.any() and not any(unread.frames_FHWC.strides[:3])


def test_pieces_are_the_frames_in_order_from_processes_too(path):
    unread = choose(path, VideoSpec(num_frames=80))
    expected = load_clip(path, VideoSpec(num_frames=80), tile=TileSpec(px=42, tok=3)).frames_FHWC
    with Workers(1) as workers:
        apart = workers.choose(path, VideoSpec(num_frames=80))
        assert (apart.indices, apart.meta, apart.reader) == (unread.indices, unread.meta, unread.reader)
        for clip, who in ((unread, None), (apart, workers)):
            pieces = list(read_pieces(clip, clip.indices, HW(42, 42), who))
            assert [frame for piece in pieces for frame in piece.indices] == list(unread.indices)
            assert np.array_equal(np.concatenate([piece.frames_FHWC for piece in pieces]), expected)
            assert len(pieces) > 1 and max(len(piece.indices) for piece in pieces) < 2 * PIECE
        # frames that a run still needs
        some = [frame for frame in unread.indices if frame > 50]
        (last,) = read_pieces(apart, some, None, workers)
        assert last.indices == tuple(some) and last.frames_FHWC.shape[1:3] == SIZE


def test_a_file_that_changes_is_indexed_again(path, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    with Workers(1) as workers:
        assert workers.read_piece(copy, [80], 1).indices == (80,)
        copy.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(MediaError):
            workers.read_piece(copy, [80], 1)


def test_frames_are_let_go_as_soon_as_they_are_dropped(path):
    # one in a cycle of references holds its picture until Python looks for cycles
    reader = open_clip_reader(path, "pyav")
    gc.collect()
    gc.disable()
    try:
        reader.read(range(0, 90, 3))
        # not isinstance, which asks what a weak reference stood for
        assert not any(issubclass(type(left), VideoFrame) for left in gc.get_objects())
    finally:
        gc.enable()


MATRICES = {(1, 0, 0, 1): "shown", (-1, 0, 0, 1): "mirrored", (1, 0, 0, -1): "mirrored", (-1, 0, 0, -1): "turned"}


@pytest.mark.parametrize(("matrix", "outcome"), MATRICES.items())
def test_display_matrices_of_mirrors_are_refused(path, tmp_path, matrix, outcome):
    data = bytearray(path.read_bytes())
    # behind the name of the box: version and flags, times, number, duration, layer, volume; then the matrix in 16.16
    start = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    if outcome == "mirrored":
        with pytest.raises(MediaError, match="is to be shown mirrored"):
            load_clip(turned, VideoSpec(num_frames=2))
        return
    shown = load_clip(turned, VideoSpec(num_frames=2)).frames_FHWC
    plain = load_clip(path, VideoSpec(num_frames=2)).frames_FHWC
    assert np.array_equal(shown, plain if outcome == "shown" else plain[:, ::-1, ::-1])
