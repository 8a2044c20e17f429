"""Open the container of a local video file with PyAV, and nothing beside that file."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from video.errors import MediaError

# demuxers that read one file and nothing beside it: playlists, network descriptions and device inputs are not here
FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,m4v,mpegvideo,ivf,gif,mjpeg,mxf,nut,wtv,rm,vob,dv"
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}

# what decoders are asked to be strict about: checksums of pictures (MD5 in HEVC), and whatever encoders do not write
STRICT = {"err_detect": "crccheck+explode+aggressive"}

# containers whose packets are found one by one
INDEXED = ("mov", "matroska")

# failures are raised below; FFmpeg need not print them as well, and any other level costs every decoder Python's lock
av.logging.set_level(None)


@contextmanager
def opened(path: Path, strict: bool = False) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a local file and its first video stream that is no cover picture; one decoder thread.

    strict: decoding fails where a decoder would else hide what it finds odd; what it gives is the same.
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
        if streams[0].codec_context is None:
            raise MediaError(path, "unsupported", "no decoder for its video codec")
        streams[0].codec_context.thread_count = 1
        if strict:
            streams[0].codec_context.options = STRICT
        _leave_out(container, streams[0])
        try:
            yield container, streams[0]
        except av.FFmpegError as error:
            kind = "limit" if isinstance(error, MemoryError) else "damaged"
            raise MediaError(path, kind, f"reading failed: {error_text(error)}") from error


def _leave_out(container: InputContainer, wanted: VideoStream) -> None:
    """Have what belongs to other streams neither read nor missed, in containers that find each packet by itself."""
    if any(name in container.format.name for name in INDEXED):
        for stream in container.streams:
            if stream.index != wanted.index:
                stream.discard = Discard.all


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """Yield the packets of a stream from where the file stands, an empty one last.

    Whoever leaves early lets go of it: PyAV's own iterator, unless it is closed, never frees what it reads into.
    """
    with closing(container.demux(stream)) as packets:
        yield from packets


def frames_of(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames of a stream from where the file stands."""
    for packet in packets_of(container, stream):
        yield from packet.decode()


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are not attached pictures."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def error_text(error: Exception) -> str:
    """Return FFmpeg's words for an error, without the path."""
    return str(error.strerror) if isinstance(error, av.FFmpegError) else str(error)


def quarter_turns(path: Path, frame: VideoFrame) -> int:
    """Return how many quarter turns counter-clockwise bring a decoded frame upright, 0 to 3."""
    if frame.rotation % 90:
        raise MediaError(path, "unsupported", f"is to be shown turned by {frame.rotation} degrees")
    if _mirrored(frame):
        raise MediaError(path, "unsupported", "is to be shown mirrored")
    return frame.rotation // 90 % 4


def _mirrored(frame: VideoFrame) -> bool:
    # not frame.side_data: a frame that keeps it, and is kept by it, holds its memory until Python looks for cycles
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(memoryview(matrix), dtype="<i4")[:5].astype(np.int64)
    return bool(a * d - b * c < 0)
