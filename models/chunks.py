"""Pieces of a long computation on the disk: numbered, checksummed, written whole or not at all.

Legend: T tokens, D width.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import Tensor

_DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float16, torch.bfloat16)}


class Chunks:
    """Tensors [T, D] by number in `folder`, which belongs to one computation: `key` says which."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = Path(folder) / key
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, number: int) -> Tensor | None:
        """Return a piece, or None where there is no whole file of it."""
        try:
            header, body = self._path(number).read_bytes().split(b"\n", 1)
            told = json.loads(header)
            if told["checksum"] != _checksum(body):
                return None
            return torch.frombuffer(bytearray(body), dtype=_DTYPES[told["dtype"]]).reshape(told["shape"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # none yet, or not what was written here
            return None

    def put(self, number: int, tokens_TD: Tensor) -> None:
        """Keep a piece."""
        body = data_of(tokens_TD)
        told = {"dtype": str(tokens_TD.dtype), "shape": list(tokens_TD.shape), "checksum": _checksum(body)}
        path = self._path(number)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(json.dumps(told).encode() + b"\n" + body)
        part.replace(path)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.tokens"


def data_of(tensor: Tensor) -> bytes:
    """Return the bytes of a tensor."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def digest_file(path: Path) -> str:
    """Return 32 hex digits over a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _checksum(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()
