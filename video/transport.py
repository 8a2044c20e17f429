"""Whether an MPEG-TS consists of whole packets from the first to the last: each begins with a sync byte.

FFmpeg looks for the next sync byte where one is missing, and says nothing of the pictures that are lost between.
"""

from pathlib import Path

import numpy as np

SYNC = 0x47
# plain, with a time in front (from discs), with a checksum behind (from broadcasts)
PACKET_BYTES = (188, 192, 204)
# a recording may begin in the middle of a packet: the first one that is followed by so many others starts it
FOLLOWED_BY = 4
BLOCK_BYTES = 1 << 20


def whole_packets(path: Path) -> bool:
    """Tell whether a transport stream has neither a gap nor anything else between its packets, nor a part of one last.

    It is read once more for it. True where it has fewer packets than tell their length.
    """
    with path.open("rb") as file:
        first = np.frombuffer(file.read(BLOCK_BYTES), np.uint8)
        found = _first_packet(first)
        if found is None:
            return True
        start, packet_bytes = found
        file.seek(start)
        # the time in front of a packet is no part of what the one before has to end with
        while block := file.read(packet_bytes * (BLOCK_BYTES // packet_bytes)):
            if (np.frombuffer(block, np.uint8)[::packet_bytes] != SYNC).any():
                return False
            rest = len(block) % packet_bytes
            if rest:
                return rest == PACKET_BYTES[0]
    return True


def _first_packet(data: np.ndarray) -> tuple[int, int] | None:
    """Return the place of the first sync byte that others follow, and their distance."""
    for place in np.flatnonzero(data[: PACKET_BYTES[-1]] == SYNC).tolist():
        for packet_bytes in PACKET_BYTES:
            following = data[place : place + packet_bytes * (FOLLOWED_BY + 1) : packet_bytes]
            if len(following) > FOLLOWED_BY and (following == SYNC).all():
                return place, packet_bytes
    return None
