"""How much of a Matroska file is missing: its segment says how long it is, and a cut file is shorter."""

from pathlib import Path
from typing import BinaryIO

EBML_HEADER = 0x1A45DFA3
SEGMENT = 0x18538067


def missing_bytes(path: Path) -> int:
    """Return by how many bytes a Matroska or WebM file is shorter than its segment; 0 where that is unknown (live)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if _element_id(file) != EBML_HEADER:
            return 0
        header = element_size(file)
        if header is None:
            return 0
        file.seek(header, 1)
        if _element_id(file) != SEGMENT:
            return 0
        segment = element_size(file)
        return 0 if segment is None else max(0, file.tell() + segment - size)


def _element_id(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "big")


def element_size(file: BinaryIO) -> int | None:
    """Return a length of 1 to 8 bytes whose leading zero bits tell how many; None for the reserved "unknown"."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    value = int.from_bytes(first + rest, "big") - (1 << (7 * length))
    return None if value == (1 << (7 * length)) - 1 else value
