"""Pooling of one frame's tokens as a crop and a reduction, in ints."""

from typing import NamedTuple

from anyres.geometry import HW, Box
from anyres.grid import TileSpec
from anyres.rows import Reduce
from video.clip import PoolMode


class Pooled(NamedTuple):
    """The part of a frame's tokens that is kept, its size afterwards, and how it gets there."""

    crop_tok: Box
    out: HW
    reduce: Reduce


def pool_frame(tile: TileSpec, stride: int, mode: PoolMode) -> Pooled:
    """Return what a stride keeps of a frame of tile.tok x tile.tok tokens.

    "bilinear" keeps the whole and rounds up (27 -> 14). "average" and "max" take blocks of stride x stride, drop the
    remainder and round down (27 -> 26 -> 13). "none" keeps every token, and so does a stride of 1.

    Raises ValueError when no token would be left.
    """
    if mode == "none" or stride == 1:
        return Pooled(Box(0, 0, tile.tok, tile.tok), HW(tile.tok, tile.tok), "bilinear")
    if mode == "bilinear":
        side = -(-tile.tok // stride)
        return Pooled(Box(0, 0, tile.tok, tile.tok), HW(side, side), "bilinear")
    side = tile.tok // stride
    if side < 1:
        raise ValueError(f"video.pool: stride {stride} leaves no token of a {tile.tok}x{tile.tok} frame")
    return Pooled(Box(0, 0, side * stride, side * stride), HW(side, side), mode)
