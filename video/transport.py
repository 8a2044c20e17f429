"""Whether an MPEG-TS consists of whole packets from the first to the last: each begins with a sync byte.

FFmpeg looks for the next sync byte where one is missing, and says nothing of the pictures that are lost between.
"""

from pathlib import Path

import numpy as np

SYNC = 0x47
# plain, with a time in front (from discs), with a checksum behind (from broadcasts)
PACKET_BYTES = (188, 192, 204)
# by chance one byte in 256 is a sync byte; a stream with gaps agrees on several places
BY_CHANCE = 0.1
BLOCK_BYTES = 1 << 20


def whole_packets(path: Path) -> bool:
    """Tell whether a transport stream has neither a gap nor anything else between its packets, nor a part of one last.

    It is read once more for it. It may begin in the middle of a packet. True where no length of packets is found.
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
    """Return the place of the first sync byte and the length of packets that most of a file's beginning agrees on."""
    found: list[tuple[float, int, int]] = []
    for packet_bytes in PACKET_BYTES:
        packets = len(data) // packet_bytes
        if packets:
            agree = (data[: packets * packet_bytes].reshape(packets, packet_bytes) == SYNC).mean(axis=0)
            found.append((float(agree.max()), int(agree.argmax()), packet_bytes))
    share, place, packet_bytes = max(found, default=(0.0, 0, 0))
    return (place, packet_bytes) if share > BY_CHANCE else None
