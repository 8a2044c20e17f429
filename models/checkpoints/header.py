"""The header of a safetensors file, checked in full before a byte of memory is taken for what it promises.

    8 bytes: the header's length N, little endian;  N bytes: JSON;  the rest: the tensors' bytes, one after the other

The JSON is an object: name -> {"dtype", "shape", "data_offsets": [first byte, end]}, counted from the header's end, and
"__metadata__" -> texts. The places cover the rest of the file without a hole and without overlap.
"""

import json
import struct
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

# the length of the header comes first
LENGTH_BYTES = 8
METADATA = "__metadata__"
MOST_HEADER_BYTES = 100_000_000
MOST_AXES = 64

_FIELDS = {"dtype", "shape", "data_offsets"}
# how files begin that are often given another name
_LOOKALIKES = {b"PK\x03\x04": "a zip, such as torch.save writes", b"\x80": "a pickle", b"\x93NUMPY": "a .npy file"}


def read_entries(path: Path, item_bytes: dict[str, int]) -> tuple[dict[str, Any], int]:
    """Return the header's entries by tensor name, and where the tensors' bytes begin.

    item_bytes: the size of an item of each known dtype. Raises ValueError naming the file and the tensor: a file that
    is cut short or longer than its header says, a header that is too large or no such JSON, names that are there twice,
    dtypes that are not known, shapes that do not fit their bytes, bytes that overlap or that no tensor owns.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        text = _header_text(file, size, path)
    start = LENGTH_BYTES + len(text)
    entries = _parsed(text, path)
    metadata = entries.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, f"{METADATA} is no object of texts")
    unknown = sorted({str(_field(path, key, one, "dtype")) for key, one in entries.items()} - set(item_bytes))
    if unknown:
        raise ValueError(f"{path}: tensors of dtype {', '.join(unknown)}, expected {', '.join(item_bytes)}")
    places = [_place(path, key, one, item_bytes[one["dtype"]]) for key, one in entries.items()]
    _check_cover(path, places, size - start)
    return entries, start


def _header_text(file: BinaryIO, size: int, path: Path) -> bytes:
    if size < LENGTH_BYTES:
        raise _damaged(path, f"it has {size} bytes")
    first = file.read(LENGTH_BYTES)
    for start, what in _LOOKALIKES.items():
        if first.startswith(start) and file.read(1) != b"{":
            raise _damaged(path, f"it begins like {what}")
    (length,) = struct.unpack("<Q", first)
    if length > MOST_HEADER_BYTES:
        raise _damaged(path, f"its header would have {length} bytes, above the limit of {MOST_HEADER_BYTES}")
    if length > size - LENGTH_BYTES:
        raise _damaged(path, f"its header would have {length} bytes, and {size - LENGTH_BYTES} are left")
    file.seek(LENGTH_BYTES)
    return file.read(length)


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    def once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _damaged(path, f"{key!r} is there twice")
            found[key] = value
        return found

    try:
        entries = json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, f"its header is no JSON: {error}") from error
    if not isinstance(entries, dict):
        raise _damaged(path, "its header is no object")
    return entries


def _field(path: Path, key: str, entry: Any, name: str) -> Any:
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        raise _damaged(path, f"{key!r} is not described by {', '.join(sorted(_FIELDS))}")
    return entry[name]


def _place(path: Path, key: str, entry: dict[str, Any], item_bytes: int) -> tuple[int, int, str]:
    """Return first byte, end and name of a tensor."""
    shape, place = entry["shape"], entry["data_offsets"]
    if not _counts(shape) or len(shape) > MOST_AXES:
        raise _damaged(path, f"{key!r} has the shape {shape}"[:500])
    if not _counts(place) or len(place) != 2 or place[0] > place[1]:
        raise _damaged(path, f"{key!r} has the place {place}"[:500])
    if prod(shape) * item_bytes != place[1] - place[0]:
        found = f"{entry['dtype']} {shape} needs {prod(shape) * item_bytes} bytes"
        raise _damaged(path, f"{key!r}: {found}, its place has {place[1] - place[0]}")
    return place[0], place[1], key


def _counts(values: Any) -> bool:
    # true and false are whole numbers in Python
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_cover(path: Path, places: list[tuple[int, int, str]], size: int) -> None:
    end = 0
    for first, last, key in sorted(places):
        if first != end:
            raise _damaged(path, f"{key!r} begins at byte {first}, expected {end}: tensors overlap or leave a hole")
        end = last
    if end > size:
        raise _damaged(path, f"its tensors have {end} bytes, and the file has {size} of them: it is cut short")
    if end < size:
        raise _damaged(path, f"{size - end} bytes behind its tensors belong to none")


def _damaged(path: Path, found: str) -> ValueError:
    return ValueError(f"{path}: not a whole safetensors file: {found}")
