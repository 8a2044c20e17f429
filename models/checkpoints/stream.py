"""Safetensors files, one tensor in memory at a time: a header of names, dtypes, shapes and places, then the bytes."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.header import LENGTH_BYTES, METADATA, read_entries

# the format's names
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A tensor's dtype and shape: how many bytes it takes, known without them."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Return the bytes of the tensor."""
        return prod(self.shape) * self.dtype.itemsize


def shape_of(tensor: Tensor) -> Shape:
    """Return the dtype and shape of a tensor."""
    return Shape(dtype=tensor.dtype, shape=tuple(tensor.shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where a tensor lies in a file, from its first byte."""

    what: Shape
    start: int


def read_header(path: Path) -> dict[str, Slot]:
    """Return the tensors of a file by name, none of them read.

    Raises ValueError naming the file when it is cut short, is none, lies about its tensors, or has a dtype that is not
    known here.
    """
    entries, first = read_entries(path, {name: dtype.itemsize for name, dtype in DTYPES.items()})
    return {
        key: Slot(
            what=Shape(dtype=DTYPES[entry["dtype"]], shape=tuple(entry["shape"])),
            start=first + entry["data_offsets"][0],
        )
        for key, entry in entries.items()
    }


def read_slot(path: Path, slot: Slot) -> Tensor:
    """Return one tensor of a file, in memory of its own. Raises ValueError when the file ends before it does."""
    raw = torch.empty(slot.what.nbytes, dtype=torch.uint8)
    with path.open("rb") as file:
        file.seek(slot.start)
        found = file.readinto(memoryview(raw.numpy()))
    if found != slot.what.nbytes:
        raise ValueError(f"{path}: ends {slot.what.nbytes - found} bytes early; did it change while it was read?")
    return raw.view(slot.what.dtype).reshape(slot.what.shape)


def write_file(path: Path, tensors: Mapping[str, Tensor], shapes: Mapping[str, Shape]) -> None:
    """Write the tensors that `shapes` lists to a file, each asked for once and let go.

    The file is written beside `path` and renamed: a killed run leaves none under the final name. Raises ValueError when
    a tensor is not of the shape and dtype that were promised.
    """
    # large items first, so that every tensor starts at a multiple of its item
    keys = sorted(shapes, key=lambda key: -shapes[key].dtype.itemsize)
    header: dict[str, object] = {METADATA: {"format": "pt"}}
    end = 0
    for key in keys:
        start, end = end, end + shapes[key].nbytes
        header[key] = {
            "dtype": NAMES[shapes[key].dtype],
            "shape": list(shapes[key].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    # the data starts at a multiple of the length's bytes
    text += b" " * (-len(text) % LENGTH_BYTES)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for key in keys:
            tensor = tensors[key].detach().cpu().contiguous()
            if shape_of(tensor) != shapes[key]:
                raise ValueError(f"{key}: expected {shapes[key]}, got {shape_of(tensor)}")
            file.write(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    part.replace(path)
