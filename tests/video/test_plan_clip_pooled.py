"""T8: the tokens of planned clips against torch's own pooling of the frames' maps, and SlowFast frame by frame."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from anyres.geometry import HW
from anyres.grid import TileSpec
from anyres.lower import lower
from kernels.pack.op import pack
from video import VideoSpec, plan_clip

FRAME = HW(480, 640)
TILES = {tok: TileSpec(px=14 * tok, tok=tok) for tok in (16, 24, 27)}
STRIDES = (1, 2, 3, 4, 5, 6, 7, 8)


def pooled(maps_FDHW: Tensor, stride: int, mode: str) -> Tensor:
    """Return frames as torch pools them, tokens row by row [F, tokens, D]."""
    if mode == "bilinear":
        side = -(-maps_FDHW.shape[-1] // stride)
        maps_FDHW = F.interpolate(maps_FDHW, size=(side, side), mode="bilinear", align_corners=False)
    else:
        maps_FDHW = F.avg_pool2d(maps_FDHW, stride) if mode == "average" else F.max_pool2d(maps_FDHW, stride)
    return rearrange(maps_FDHW, "f d h w -> f (h w) d")


def frames_of(tile: TileSpec, count: int, width: int = 3) -> tuple[Tensor, Tensor]:
    maps_FDHW = torch.randn(count, width, tile.tok, tile.tok, generator=torch.Generator().manual_seed(0))
    return maps_FDHW, rearrange(maps_FDHW, "f d h w -> f (h w) d")


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("mode", ["average", "bilinear", "max"])
@pytest.mark.parametrize("tile", TILES.values(), ids=map(str, TILES))
def test_t8_pooled_tokens_are_those_of_torch(tile: TileSpec, mode: str, stride: int) -> None:
    maps_FDHW, features_FPD = frames_of(tile, 2)
    video = VideoSpec(pool=stride, pool_mode=mode, end="no_token")
    found = pack(features_FPD, torch.zeros(1, 3), lower([plan_clip(FRAME, 2, video, tile)]))
    expected = pooled(maps_FDHW, stride, mode).flatten(0, 1)
    if mode == "max":
        assert torch.equal(found, expected)
    # sums of up to 64 numbers
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_t8_bilinear_24_to_12_is_the_average() -> None:
    maps_FDHW, features_FPD = frames_of(TILES[24], 2)
    by_mode = [
        pack(features_FPD, torch.zeros(1, 3), lower([plan_clip(FRAME, 2, video, TILES[24])]))
        for video in (VideoSpec(pool_mode=mode, end="no_token") for mode in ("average", "bilinear"))
    ]
    assert torch.equal(*by_mode)
    torch.testing.assert_close(by_mode[0], pooled(maps_FDHW, 2, "average").flatten(0, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["average", "bilinear", "max"])
def test_slowfast_tokens(mode: str) -> None:
    """Frames 0 and 3 by the stride, 1 and 2 by twice that; rows closed by vector 0, frames by vector 1."""
    tile = TILES[27]
    maps_FDHW, features_FPD = frames_of(tile, 4)
    ends_KD = torch.tensor([[10.0, 10, 10], [20, 20, 20]])
    video = VideoSpec(pool_mode=mode, slow_every=3)
    found = pack(features_FPD, ends_KD, lower([plan_clip(FRAME, 4, video, tile)]))
    pieces = []
    for frame in range(4):
        tokens_TD = pooled(maps_FDHW[frame : frame + 1], 2 if frame % 3 == 0 else 4, mode)[0]
        side = round(len(tokens_TD) ** 0.5)
        rows = torch.cat([tokens_TD.reshape(side, side, 3), ends_KD[0].expand(side, 1, 3)], dim=1)
        pieces += [rows.flatten(0, 1), ends_KD[1:]]
    torch.testing.assert_close(found, torch.cat(pieces), rtol=0, atol=1e-6)
