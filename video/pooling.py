"""Pooling of one frame's tokens as a crop and a bilinear resize."""

from typing import Literal, NamedTuple

from anyres.geometry import HW, Box
from anyres.grid import TileSpec


class Pooled(NamedTuple):
    """The part of a frame's tokens that is kept, and its size after resampling."""

    crop_tok: Box
    out: HW


def pool_frame(tile: TileSpec, stride: int, mode: Literal["average", "bilinear"]) -> Pooled:
    """Return what a stride keeps of a frame of tile.tok x tile.tok tokens.

    "bilinear" keeps the whole and rounds up. "average" drops the remainder and rounds down; at stride 2 the bilinear
    resample of an even crop is exactly the mean of four neighbours, at other strides it is not, so they are refused.
    """
    if stride == 1:
        return Pooled(Box(0, 0, tile.tok, tile.tok), HW(tile.tok, tile.tok))
    if mode == "bilinear":
        side = -(-tile.tok // stride)
        return Pooled(Box(0, 0, tile.tok, tile.tok), HW(side, side))
    if stride != 2:
        raise ValueError(f"video.pool: average pooling has stride 1 or 2, got {stride}; use pool_mode=bilinear")
    side = tile.tok // stride
    if side < 1:
        raise ValueError(f"video.pool: stride {stride} leaves no token of a {tile.tok}x{tile.tok} frame")
    return Pooled(Box(0, 0, side * stride, side * stride), HW(side, side))
