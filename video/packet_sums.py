"""Which packets differ from what was written, by checksums in containers and codecs that FFmpeg does not compare.

Matroska: each cluster has one (video.clusters). FFV1: each slice of a picture (video.ffv1). MP4, MPEG-TS, AVI and other
codecs have none that covers pictures.
"""

from collections.abc import Callable
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from video.clusters import read_clusters
from video.ffv1 import RECORD_BYTES, slices_fit


def wrong_packets(path: Path, container: InputContainer, stream: VideoStream) -> Callable[[Packet], bool]:
    """Return what tells of a packet of an open file's stream whether a checksum says that it is not what was written.

    Raises MediaError where a checksum of the file's description does not fit.
    """
    checks: list[Callable[[Packet], bool]] = []
    if "matroska" in container.format.name:
        clusters = read_clusters(path)
        checks.append(lambda packet: packet.pos is None or clusters.holds(packet.pos))
    # versions before 3 have no record of that length, and no checksums
    if stream.codec_context.name == "ffv1" and len(stream.codec_context.extradata or b"") > RECORD_BYTES:
        checks.append(lambda packet: slices_fit(bytes(packet)))
    return lambda packet: not all(check(packet) for check in checks)
