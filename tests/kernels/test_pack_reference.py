"""The reference against a loop over single numbers, and against transformers' own packing."""

import math
import random
import statistics
from types import SimpleNamespace

import pytest
import torch
from transformers import LlavaNextModel, LlavaOnevisionModel

from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.lower import lower
from anyres.plan import plan_image
from kernels.pack.columns import Column
from kernels.pack.op import pack
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable

NEXT = tuple(HW(h, w) for h, w in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3), (4, 1), (1, 4)))
ONEVISION = tuple(HW(h, w) for h in range(1, 7) for w in range(1, 7))


def loop(features_NPD: torch.Tensor, ends_KD: torch.Tensor, table: PackTable) -> list[list[float]]:
    """Return packed tokens by assembling canvases tile by tile and blending one number at a time."""
    tokens = []
    tiles = features_NPD.tolist()
    for row in table.segments_SC.tolist():
        src, cols, tok, y0, x0, h, w, out_h, out_w, end, vector, dst, reduce, close = (row[column] for column in Column)
        assert dst == len(tokens)

        def at(y: int, x: int, src=src, cols=cols, tok=tok, y0=y0, x0=x0) -> list[float]:
            y, x = y + y0, x + x0
            tile = src // tok**2 + (y // tok) * cols + x // tok
            return tiles[tile][(y % tok) * tok + x % tok]

        closing = ends_KD[vector].tolist()
        for i in range(out_h):
            for j in range(out_w):
                if reduce:
                    high, wide = h // out_h, w // out_w
                    block = [at(i * high + dy, j * wide + dx) for dy in range(high) for dx in range(wide)]
                    pooled = max if reduce == 2 else statistics.mean
                    tokens.append([pooled(numbers) for numbers in zip(*block, strict=True)])
                    continue
                sy, sx = max((i + 0.5) * h / out_h - 0.5, 0), max((j + 0.5) * w / out_w - 0.5, 0)
                ya, xa = min(math.floor(sy), h - 1), min(math.floor(sx), w - 1)
                yb, xb = min(ya + 1, h - 1), min(xa + 1, w - 1)
                fy, fx = min(sy - ya, 1), min(sx - xa, 1)
                corners = zip(at(ya, xa), at(ya, xb), at(yb, xa), at(yb, xb), strict=True)
                tokens.append(
                    [(1 - fy) * ((1 - fx) * p + fx * q) + fy * ((1 - fx) * r + fx * s) for p, q, r, s in corners]
                )
            if end == 1:
                tokens.append(closing)
        if end == 2:
            tokens.append(closing)
        if close:
            tokens.append(ends_KD[close - 1].tolist())
    return tokens


def test_reference_is_the_loop(table: PackTable) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(table.num_source // 9, 9, 5, generator=generator, dtype=torch.float64)
    ends = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    expected = torch.tensor(loop(features, ends, table), dtype=torch.float64).reshape(-1, 5)
    # float64 features are resampled in float64
    torch.testing.assert_close(pack_reference(features, ends, table), expected, rtol=0, atol=1e-13)


def test_a_swap_of_rows_and_columns_shows(make_table) -> None:
    features = torch.arange(18.0).reshape(2, 9, 1)
    wide = make_table((1, 2, ((0, 1, 3, 4), (3, 4), "none", 0)))
    # tile 0 holds 0 to 8, tile 1 holds 9 to 17; the crop leaves out the first and the last column
    expected = [1, 2, 9, 10, 4, 5, 12, 13, 7, 8, 15, 16]
    assert pack_reference(features, torch.zeros(1, 1), wide).flatten().tolist() == expected


def sizes(count: int) -> list[HW]:
    rng = random.Random(7)
    fixed = [HW(1, 1000), HW(1000, 1), HW(1, 1), HW(336, 336), HW(480, 640), HW(640, 480), HW(2200, 1700)]
    return fixed + [HW(rng.randint(1, 3000), rng.randint(1, 3000)) for _ in range(count)]


def plans_of(images: list[HW], grid: GridSpec, tile: TileSpec):
    return [plan_image(image, grid, tile) for image in images]


def test_t5_bit_equal_to_transformers_llava_next() -> None:
    tile = TileSpec(px=336, tok=24)
    grid = GridSpec(
        layouts=NEXT,
        target_tiles=None,
        target_tok=None,
        tie_order="transformers",
        rounding="transformers",
        thin="released",
    )
    images = sizes(300)
    plans = plans_of(images, grid, tile)
    table = lower(plans)
    features = torch.randn(table.num_source // 576, 576, 3)
    newline = torch.randn(3)
    # a released list holds (width, height); transformers reads it as (height, width)
    pinpoints = [[336 * w, 336 * h] for h, w in NEXT]
    config = SimpleNamespace(
        vision_config=SimpleNamespace(image_size=336, patch_size=14), image_grid_pinpoints=pinpoints
    )
    theirs, lengths = LlavaNextModel.pack_image_features(
        SimpleNamespace(config=config),
        features.split([plan.num_tiles for plan in plans]),
        torch.tensor(images),
        "default",
        image_newline=newline,
    )
    assert lengths.tolist() == [plan.num_tokens for plan in plans]
    expected = torch.cat(theirs)
    assert torch.equal(pack_reference(features, newline[None], table), expected)
    assert torch.equal(pack(features, newline[None], table), expected)


@pytest.mark.parametrize("tiles", [4, 9])
def test_equal_to_transformers_onevision(tiles: int) -> None:
    tile = TileSpec(px=384, tok=27)
    grid = GridSpec(
        layouts=ONEVISION,
        target_tiles=tiles,
        target_tok=None,
        tie_order="transformers",
        rounding="transformers",
        thin="released",
    )
    images = [size for size in sizes(16) if min(size) > 1]
    plans = plans_of(images, grid, tile)
    table = lower(plans)
    features = torch.randn(table.num_source // 729, 729, 2)
    newline = torch.randn(2)
    pinpoints = [[384 * w, 384 * h] for h, w in ONEVISION]
    config = SimpleNamespace(
        vision_config=SimpleNamespace(image_size=384, patch_size=14), image_grid_pinpoints=pinpoints
    )
    theirs, _ = LlavaOnevisionModel.pack_image_features(
        SimpleNamespace(config=config),
        features.split([plan.num_tiles for plan in plans]),
        torch.tensor(images),
        image_newline=newline,
        vision_aspect_ratio=f"anyres_max_{tiles}",
    )
    expected = torch.cat(theirs)
    resampled = [plan for plan in plans if any(s.out != s.crop_tok.size for s in plan.segments)]
    assert len(resampled) > 3
    assert torch.equal(pack_reference(features, newline[None], table), expected)
    torch.testing.assert_close(pack(features, newline[None], table), expected, rtol=0, atol=1e-6)
