"""The packet index of a video file: which frames it shows, when, and where decoding can start.

Packets are read, not decoded, except for the first frame: its rotation is nowhere else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from anyres.geometry import HW
from video.clip import ClipMeta
from video.errors import MediaError
from video.matroska import missing_bytes

# demuxers that read one file and nothing beside it: playlists, network descriptions and device inputs are not here
FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,m4v,mpegvideo,ivf,gif,mjpeg,mxf,nut,wtv,rm,vob,dv"
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}

# failures are raised below; FFmpeg need not print them as well
av.logging.set_level(av.logging.PANIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketIndex:
    """What the packets of the video stream say, in units of `time_base` where they are times.

    pts_F: presentation times of the frames shown, rising; empty when the file has none that identify its frames.
    key_pts: times at which decoding can start. closed_gops: no frame refers across such a point. complete_start: the
    first packet is such a point. header_frames: what the header promises, 0 if nothing. num_streams: video streams
    without cover pictures. size: of the first frame, turned upright by `quarter_turns` (counter-clockwise).
    """

    path: Path
    stream: int
    num_streams: int
    container: str
    codec: str
    pixel_format: str
    colour: tuple[int, int]
    time_base: Fraction
    num_frames: int
    pts_F: tuple[int, ...]
    key_pts: tuple[int, ...]
    closed_gops: bool
    complete_start: bool
    header_frames: int
    duration: int
    average_rate: Fraction | None
    size: HW
    quarter_turns: int

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header as the rest of the project knows it."""
        seconds = float(self.duration * self.time_base)
        fps = self.num_frames / seconds
        rate = float(self.average_rate) if self.average_rate else fps
        # coarse time bases round: 30 frames per second in milliseconds are 33 ms apart
        fps = rate if abs(rate - fps) <= 0.005 * fps else fps
        return ClipMeta(num_frames=self.num_frames, fps=fps, size=self.size, duration_s=seconds)

    def time_s(self, frame: int) -> float:
        """Return when a frame is shown, in seconds after the first one."""
        if self.pts_F:
            return float((self.pts_F[frame] - self.pts_F[0]) * self.time_base)
        return frame / self.meta.fps


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a local file and its first video stream that is no cover picture; one decoder thread.

    Raises MediaError where the file is no container that is read here, holds no video, or fails while it is read.
    """
    try:
        # no decoder takes an absolute path for a protocol, whatever colons it has
        container = av.open(str(path.absolute()), options=OPTIONS)
    except (av.FFmpegError, UnicodeError) as error:
        raise MediaError(path, "not_media", f"no video container that is read here ({error_text(error)})") from error
    with container:
        streams = video_streams(container)
        if not streams:
            raise MediaError(path, "no_video", f"holds no video stream ({container.format.name})")
        streams[0].codec_context.thread_count = 1
        try:
            yield container, streams[0]
        except av.FFmpegError as error:
            raise MediaError(path, "damaged", f"reading failed: {error_text(error)}") from error


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are not attached pictures."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def error_text(error: Exception) -> str:
    """Return FFmpeg's words for an error, without the path."""
    return str(error.strerror) if isinstance(error, av.FFmpegError) else str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packet:
    pts: int | None
    duration: int
    key: bool
    shown: bool


def index_packets(path: Path) -> PacketIndex:
    """Return the index of a file; MediaError if it has no video, no frame, or less than its header promises."""
    with opened(path) as (container, stream):
        if stream.codec_context is None:
            raise MediaError(path, "unsupported", "no decoder for its video codec")
        packets, first = _scan(path, container, stream)
        _check_whole(path, container, stream, packets)
        return _build(path, container, stream, packets, first)


def _check_whole(path: Path, container: InputContainer, stream: VideoStream, packets: list[_Packet]) -> None:
    """Raise MediaError where the file holds less than it says, or frames that nothing can decode."""
    missing = missing_bytes(path) if "matroska" in container.format.name else 0
    if missing:
        raise MediaError(path, "truncated", f"cut off: its header says {missing} bytes more than the file holds")
    if "mp4" not in container.format.name:
        return
    promised = len(stream.index_entries)
    if len(packets) < promised:
        detail = f"cut off: its header lists {promised} frames, the file holds {len(packets)}"
        raise MediaError(path, "truncated", detail)
    start = next(i for i, packet in enumerate(packets) if packet.key)
    if start:
        raise MediaError(path, "damaged", f"its first {start} frames do not decode: no keyframe before them")


def _scan(path: Path, container: InputContainer, stream: VideoStream) -> tuple[list[_Packet], VideoFrame]:
    """Return all packets of the stream in file order, and the first frame that decodes."""
    packets: list[_Packet] = []
    first: VideoFrame | None = None
    started = False
    for packet in container.demux(stream):
        started = started or packet.is_keyframe
        if packet.size:
            shown = not packet.is_discard
            entry = _Packet(pts=packet.pts, duration=packet.duration or 0, key=packet.is_keyframe, shown=shown)
            packets.append(entry)
        if started and first is None:
            first = next(iter(packet.decode()), None)
    if not packets:
        raise MediaError(path, "no_frames", "its video stream holds no frame")
    if first is None:
        raise MediaError(path, "damaged", f"none of its {len(packets)} frames decodes")
    return packets, first


def _build(
    path: Path, container: InputContainer, stream: VideoStream, packets: list[_Packet], first: VideoFrame
) -> PacketIndex:
    start = next(i for i, packet in enumerate(packets) if packet.key)
    decodable = packets[start:]
    # frames shown before the first starting point refer to packets that the file does not hold
    origin = decodable[0].pts
    shown = [p for p in decodable if p.shown and (start == 0 or p.pts is None or origin is None or p.pts >= origin)]
    times = sorted(p.pts for p in shown if p.pts is not None)
    if len(times) == len(shown) > len(set(times)):
        raise MediaError(
            path, "damaged", f"{len(times) - len(set(times))} of its frames share a timestamp with another"
        )
    identified = len(times) == len(shown)
    keys = sorted({p.pts for p in decodable if p.key and p.pts is not None})
    turns = quarter_turns(path, first)
    stored = HW(first.height, first.width)
    return PacketIndex(
        path=path,
        stream=stream.index,
        num_streams=len(video_streams(container)),
        container=container.format.name,
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
        colour=(int(first.colorspace), int(first.color_range)),
        time_base=stream.time_base,
        num_frames=len(shown),
        pts_F=tuple(times) if identified else (),
        key_pts=tuple(keys),
        closed_gops=_closed(decodable),
        complete_start=start == 0 and all(p.shown for p in packets),
        header_frames=stream.frames,
        duration=_duration(shown, times if identified else []),
        average_rate=stream.average_rate,
        size=stored.transposed if turns % 2 else stored,
        quarter_turns=turns,
    )


def quarter_turns(path: Path, frame: VideoFrame) -> int:
    """Return how many quarter turns counter-clockwise bring a decoded frame upright, 0 to 3."""
    if frame.rotation % 90:
        raise MediaError(path, "unsupported", f"is to be shown turned by {frame.rotation} degrees")
    return frame.rotation // 90 % 4


def _closed(packets: list[_Packet]) -> bool:
    """Tell whether no packet that follows a starting point is shown before it."""
    latest_key: int | None = None
    for packet in packets:
        if packet.key:
            latest_key = packet.pts
        elif packet.pts is None or latest_key is None or packet.pts < latest_key:
            return False
    return True


def _duration(shown: list[_Packet], times: list[int]) -> int:
    """Return how long the frames are shown, the last one included, in units of the time base; at least 1."""
    if not times:
        return max(1, sum(packet.duration for packet in shown))
    last = max(shown, key=lambda packet: packet.pts or 0).duration
    if last <= 0:
        last = round((times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else 1
    return max(1, times[-1] - times[0] + last)
