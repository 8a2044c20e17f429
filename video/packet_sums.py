"""What checksums and structure of a file say of its packets, where FFmpeg does not compare them or passes over damage.

Matroska: each cluster may have a checksum (video.clusters). FFV1: each slice of a picture (video.ffv1). MPEG-TS and
MP4 have none that cover pictures, but their packets and boxes follow each other without a gap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from video.clusters import read_clusters
from video.ffv1 import RECORD_BYTES, slices_fit
from video.mp4 import whole_boxes
from video.transport import whole_packets


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketSums:
    """Checks of single packets, and whether there is something in the file that is no part of its structure."""

    checks: tuple[Callable[[Packet], bool], ...]
    gaps: bool

    def is_wrong(self, packet: Packet) -> bool:
        """Tell whether a checksum says that a packet is not what was written."""
        return not all(check(packet) for check in self.checks)


def packet_sums(path: Path, container: InputContainer, stream: VideoStream) -> PacketSums:
    """Return what tells of the packets of an open file's stream.

    Raises MediaError where a checksum of the file's description does not fit.
    """
    checks: list[Callable[[Packet], bool]] = []
    names, gaps = container.format.name, False
    if "matroska" in names:
        clusters = read_clusters(path)
        gaps = clusters.gaps
        checks.append(lambda packet: packet.pos is None or clusters.holds(packet.pos))
    elif "mpegts" in names:
        gaps = not whole_packets(path)
    elif "mp4" in names:
        gaps = not whole_boxes(path)
    # versions before 3 have no record of that length, and no checksums
    if stream.codec_context.name == "ffv1" and len(stream.codec_context.extradata or b"") > RECORD_BYTES:
        checks.append(lambda packet: slices_fit(bytes(packet)))
    return PacketSums(checks=tuple(checks), gaps=gaps)
