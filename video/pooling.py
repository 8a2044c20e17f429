"""Pooling of one frame's tokens as a crop and a bilinear resize, in ints."""

from typing import NamedTuple

from anyres.geometry import HW, Box
from anyres.grid import TileSpec
from video.clip import PoolMode


class Pooled(NamedTuple):
    """The part of a frame's tokens that is kept, and its size after resampling."""

    crop_tok: Box
    out: HW


def pool_frame(tile: TileSpec, stride: int, mode: PoolMode) -> Pooled:
    """Return what a stride keeps of a frame of tile.tok x tile.tok tokens.

    "bilinear" keeps the whole and rounds up (27 -> 14). "average" drops the remainder and rounds down (27 -> 26 -> 13);
    at stride 2 the bilinear resample of an even crop is exactly the mean of four neighbours, at other strides it is
    not, so they are refused. "none" keeps every token, and so does a stride of 1.

    Raises ValueError for a mode or stride that a bilinear segment cannot express, or when no token would be left.
    """
    if mode == "none" or stride == 1:
        return Pooled(Box(0, 0, tile.tok, tile.tok), HW(tile.tok, tile.tok))
    if mode == "max":
        raise ValueError(
            "video.pool_mode: 'max' is not a weighted sum and has no kernel; use average, bilinear or none"
        )
    if mode == "bilinear":
        side = -(-tile.tok // stride)
        return Pooled(Box(0, 0, tile.tok, tile.tok), HW(side, side))
    if stride != 2:
        raise ValueError(f"video.pool: average pooling has stride 1 or 2, got {stride}; use pool_mode=bilinear")
    side = tile.tok // stride
    if side < 1:
        raise ValueError(f"video.pool: stride {stride} leaves no token of a {tile.tok}x{tile.tok} frame")
    return Pooled(Box(0, 0, side * stride, side * stride), HW(side, side))
