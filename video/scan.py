"""The packets of a video stream, not decoded: from the tables of a plain MP4, or by reading the file through.

Legend: P packets in file order, T the last of them.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy import ndarray

from video.container import packets_of
from video.errors import MediaError
from video.mp4 import composition_offsets, whole_boxes
from video.packet_sums import packet_sums

# stands for a time that a packet does not have
NO_TIME = int(np.iinfo(np.int64).min)
# codecs whose packets are passed on as the tables of an MP4 tell
TABLED = ("h264", "hevc")
# more than 18 hours at 30 frames a second
MOST_SAMPLES = 2_000_000
# tables are compared with this many packets at the start, and with all from the last keyframe on
COMPARED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """Presentation time (or NO_TIME) and duration (0: not told) in the stream's time base, and marks, of each packet.

    key_P: decoding can start there. shown_P: no edit hides it. corrupt_P: it was not read whole. wrong_P: it does not
    fit a checksum. gaps: something in the file is no part of its structure (video.packet_sums). Durations may be told
    of the packets from the last keyframe on alone, where every packet has a time.
    """

    pts_P: ndarray
    duration_P: ndarray
    key_P: ndarray
    shown_P: ndarray
    corrupt_P: ndarray
    wrong_P: ndarray
    gaps: bool = False

    def __len__(self) -> int:
        return len(self.pts_P)

    def __getitem__(self, rows: "slice | ndarray") -> "Packets":
        return Packets(
            pts_P=self.pts_P[rows],
            duration_P=self.duration_P[rows],
            key_P=self.key_P[rows],
            shown_P=self.shown_P[rows],
            corrupt_P=self.corrupt_P[rows],
            wrong_P=self.wrong_P[rows],
            gaps=self.gaps,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What FFmpeg read of an MP4's tables: place, size, decoding time and keyframes; and offsets to presentation."""

    place_P: ndarray
    size_P: ndarray
    dts_P: ndarray
    key_P: ndarray
    offset_P: ndarray


def by_reading(path: Path, container: InputContainer, stream: VideoStream) -> tuple[Packets, VideoFrame]:
    """Return all packets by reading them, and the first frame that decodes; MediaError without any."""
    rows: list[tuple[int, int, bool, bool, bool, bool]] = []
    first: VideoFrame | None = None
    started = False
    sums = packet_sums(path, container, stream)
    for packet in packets_of(container, stream):
        started = started or packet.is_keyframe
        if packet.size:
            rows.append((*_row(packet), sums.is_wrong(packet)))
        if started and first is None:
            first = next(iter(packet.decode()), None)
    if not rows:
        raise MediaError(path, "no_frames", "its video stream holds no frame")
    if first is None:
        raise MediaError(path, "damaged", f"none of its {len(rows)} frames decodes")
    pts, durations, keys, shown, corrupt, wrong = zip(*rows, strict=True)
    packets = Packets(
        pts_P=np.array(pts, np.int64),
        duration_P=np.array(durations, np.int64),
        key_P=np.array(keys, bool),
        shown_P=np.array(shown, bool),
        corrupt_P=np.array(corrupt, bool),
        wrong_P=np.array(wrong, bool),
        gaps=sums.gaps,
    )
    return packets, first


def _row(packet: Packet) -> tuple[int, int, bool, bool, bool]:
    pts = NO_TIME if packet.pts is None else packet.pts
    return pts, packet.duration or 0, packet.is_keyframe, not packet.is_discard, packet.is_corrupt


def has_tables(container: InputContainer, stream: VideoStream) -> bool:
    """Tell whether a file is one of those whose tables may tell all."""
    return "mp4" in container.format.name and stream.codec_context.name in TABLED


def table_of(path: Path, container: InputContainer, stream: VideoStream) -> Table | None:
    """Return the tables of a plain MP4 whose packets are all there and all shown; None for any other file.

    Nothing of the stream is read.
    """
    if not has_tables(container, stream):
        return None
    samples = len(stream.index_entries)
    if not 0 < samples <= MOST_SAMPLES:
        return None
    entries = ((entry.pos, entry.size, entry.timestamp, entry.flags) for entry in stream.index_entries)
    place_P, size_P, dts_P, flags_P = np.fromiter(entries, np.dtype((np.int64, 4)), samples).T
    # any other mark than that of a keyframe: FFmpeg leaves it out, or hides it
    odd = (size_P <= 0) | (place_P < 0) | (place_P + size_P > path.stat().st_size) | (flags_P & ~1 != 0)
    if odd.any() or not flags_P[0] & 1 or (np.diff(dts_P) <= 0).any():
        return None
    offset_P = composition_offsets(path, stream.id, samples)
    if offset_P is None or not whole_boxes(path):
        return None
    return Table(place_P=place_P, size_P=size_P, dts_P=dts_P, key_P=flags_P & 1 == 1, offset_P=offset_P)


def confirmed(container: InputContainer, stream: VideoStream, table: Table) -> tuple[Packets, VideoFrame] | None:
    """Return all packets as the tables tell, and the first frame; None where packets that are read differ from them.

    Read are those at the start and all from the last keyframe on, or from one before.
    """
    packets: list[Packet] = []
    for packet in packets_of(container, stream):
        packets.append(packet)
        if len(packets) == COMPARED or not packet.size:
            break
    first = _decoded_alone(packets[0], stream)
    if first is None or packets[0].pts is None or packets[0].dts is None:
        return None
    pts_P = table.dts_P + (table.offset_P - table.offset_P[0]) + (packets[0].pts - packets[0].dts)
    last_key = int(np.flatnonzero(table.key_P)[-1])
    container.seek(int(pts_P[last_key]), stream=stream, backward=True)
    tail = [packet for packet in packets_of(container, stream) if packet.size]
    start = len(table.dts_P) - len(tail)
    packets = [packet for packet in packets if packet.size]
    whole = _same(table, pts_P, 0, packets) and 0 <= start <= last_key and _same(table, pts_P, start, tail)
    # the one shown last tells how long it is
    if not whole or int(pts_P.argmax()) < start:
        return None
    duration_P = np.zeros(len(pts_P), np.int64)
    duration_P[start:] = [packet.duration or 0 for packet in tail]
    every_P = np.ones(len(pts_P), bool)
    # an MP4 has no checksums
    marks = {"key_P": table.key_P, "shown_P": every_P, "corrupt_P": ~every_P, "wrong_P": ~every_P}
    return Packets(pts_P=pts_P, duration_P=duration_P, **marks), first


def _decoded_alone(packet: Packet, stream: VideoStream) -> VideoFrame | None:
    """Return the frame of a packet that needs no other; None where there is none."""
    try:
        # what waits in the decoder comes out without a look at what follows
        frames = packet.decode() or stream.codec_context.decode(None)
    except av.FFmpegError:
        return None
    return next(iter(frames), None)


def _same(table: Table, pts_P: ndarray, start: int, packets: list[Packet]) -> bool:
    """Tell whether packets that were read are those of the tables from a place on."""
    rows = slice(start, start + len(packets))
    told = np.stack([table.place_P, table.size_P, table.dts_P, pts_P, table.key_P])[:, rows].T.tolist()
    read = [[packet.pos, packet.size, packet.dts, packet.pts, int(packet.is_keyframe)] for packet in packets]
    return told == read and not any(packet.is_discard or packet.is_corrupt for packet in packets)
