"""Decode one group of pictures up to the frames wanted, without those that nothing refers to.

A picture that its stream marks as no reference is used for no other picture, so leaving it out changes no pixel of
those that are shown: H.264 marks them (nal_ref_idc 0), and HEVC does where all pictures are of one temporal layer.
Nothing odd is dealt with here: where a group is not clean, its frames are left to the plain decoder.
"""

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from video.container import packets_of
from video.gops import Gop
from video.packets import PacketIndex

# demuxers that seek to a timestamp exactly
SEEKABLE = ("mov", "matroska")
# byte of an HEVC configuration record that holds the number of temporal layers, in bits 3 to 5
LAYERS_BYTE = 21


class Unclean(Exception):
    """A group that has to be decoded in full. corrupt: because the decoder found something wrong."""

    def __init__(self, corrupt: bool = False) -> None:
        super().__init__()
        self.corrupt = corrupt


def seekable(index: PacketIndex) -> bool:
    """Tell whether a seek in this file ends at the starting point that was asked for."""
    return bool(index.pts_F) and any(name in index.container for name in SEEKABLE)


def skippable(index: PacketIndex, stream: VideoStream) -> bool:
    """Tell whether pictures marked as no reference may be left out."""
    if not index.closed_gops:
        return False
    if index.codec == "h264":
        return True
    record = stream.codec_context.extradata or b""
    # a configuration record begins with its version, a raw stream with zeros
    recorded = len(record) > LAYERS_BYTE and record[0] == 1
    return index.codec == "hevc" and recorded and record[LAYERS_BYTE] >> 3 & 7 == 1


def shown(
    index: PacketIndex, container: InputContainer, stream: VideoStream, gop: Gop, skip: bool
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield number and picture of the frames wanted of a group, in order; Unclean where that is not certain.

    skip: leave out what `skippable` allows. Decoding stops behind the last frame wanted.
    """
    context = stream.codec_context
    numbers = {index.pts_F[frame]: frame for frame in gop.frames}
    unsent = set(numbers)
    latest: int | None = None

    def checked(frames: list[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        nonlocal latest
        for frame in frames:
            backward = latest is not None and frame.pts is not None and frame.pts <= latest
            # pictures of single fields are not whole packets: no part of one is left out
            if frame.pts is None or frame.is_corrupt or backward or (skip and frame.interlaced_frame):
                raise Unclean(frame.is_corrupt and not _leads(frame.pts, gop))
            latest = frame.pts
            number = numbers.pop(frame.pts, None)
            if number is not None:
                yield number, frame

    container.seek(gop.start, stream=stream, backward=True)
    for number, packet in enumerate(packets_of(container, stream)):
        # tables may call a packet a starting point that is none
        if number == 0 and not packet.is_keyframe:
            raise Unclean
        wanted = packet.pts in unsent
        context.skip_frame = "NONREF" if skip and not wanted else "DEFAULT"
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            raise Unclean(not _leads(packet.pts, gop)) from error
        yield from checked(frames)
        unsent.discard(packet.pts)
        if not unsent:
            # those that wait for their turn come now, without a look at what follows
            yield from checked(context.decode(None)) if packet.size else ()
            break
    if numbers:
        raise Unclean


def _leads(pts: int | None, gop: Gop) -> bool:
    """Tell whether a picture is shown before the point that it follows, and may lack what it refers to."""
    return pts is not None and pts < gop.start
