"""Tiles of a batch that have the same pixels, found on the host, so that each is moved and encoded once.

Still frames of a clip, an image shown twice and empty corners of a page are such tiles.

Legend: N tiles shown, M distinct ones, C channels, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# numbers of a tile that are read first; only tiles that agree in them are compared in full
PROBES = 251


def distinct(tiles: Sequence[Tensor], wanted: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """Return the distinct ones [M, C, H, W] of the wanted tiles of several tensors, and which one each is [N].

    wanted: of each tensor [., C, H, W] the places of the tiles to keep. Distinct tiles keep the order in which they
    first come. The index is int64, None where no tile comes twice.
    """
    seen: dict[bytes, list[tuple[int, Tensor]]] = {}
    kept: list[list[int]] = []
    index: list[int] = []
    count = 0
    for tiles_NCHW, places in zip(tiles, wanted, strict=True):
        own: list[int] = []
        probes = _probes(tiles_NCHW)
        for place in places:
            tile_CHW = tiles_NCHW[place]
            alike = seen.setdefault(probes[place], [])
            found = next((number for number, other_CHW in alike if torch.equal(tile_CHW, other_CHW)), None)
            if found is None:
                found, count = count, count + 1
                alike.append((found, tile_CHW))
                own.append(place)
            index.append(found)
        kept.append(own)
    # all of a tensor's tiles are the tensor, not a copy
    parts = [part if len(own) == len(part) else part[own] for part, own in zip(tiles, kept, strict=True)]
    return torch.cat(parts), None if count == len(index) else torch.tensor(index)


def _probes(tiles_NCHW: Tensor) -> list[bytes]:
    """Return some numbers of each tile, as bytes."""
    if not len(tiles_NCHW):
        return []
    flat_NX = tiles_NCHW.reshape(len(tiles_NCHW), -1)
    some_NX = flat_NX[:, :: max(flat_NX.shape[1] // PROBES, 1)].contiguous()
    return [row.tobytes() for row in some_NX.view(torch.uint8).numpy()]
