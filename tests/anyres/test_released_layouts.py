"""Layouts of the released models: every golden, and the token counts of 36 sizes for the five published lists."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from anyres import HW, GridSpec, TileSpec, VisualPlan, plan_image
from conf.build import build

GRIDS = Path(__file__).resolve().parents[2] / "conf" / "grid"
NAMES = (
    "anyres",
    "anyres-cap2-336",
    "llava-1.5-hd",
    "llava-next",
    "llava-next-blog",
    "interleave",
    "onevision",
    "grid4x4-max4-336",
)
CLIP_224, CLIP_336, SIGLIP_384 = TileSpec.of(224, 14), TileSpec.of(336, 14), TileSpec.of(384, 14)

# tokens as the released code counts them: llava-next, onevision, interleave, llava-1.5-hd, llava-next-blog
WORKED_LISTS = ("llava-next", "onevision", "interleave", "llava-1.5-hd", "llava-next-blog")
WORKED_TILES = (CLIP_336, SIGLIP_384, SIGLIP_384, CLIP_224, CLIP_336)
WORKED = {
    "336x336": (1176, 1485, 1513, 1312, 1176),
    "100x100": (1176, 1485, 1513, 528, 1176),
    "200x200": (1176, 1485, 1513, 528, 1176),
    "640x480": (2340, 2929, 2929, 1632, 2340),
    "480x640": (2352, 2943, 2943, 1642, 2352),
    "1024x899": (2634, 6551, 3369, 1440, 2634),
    "1024x768": (2340, 4725, 2929, 1632, 2340),
    "768x1024": (2352, 4744, 2943, 1642, 2352),
    "1920x1080": (1948, 7269, 2379, 1628, 1948),
    "1080x1920": (1968, 7317, 2403, 1648, 1968),
    "3840x2160": (1948, 7317, 2379, 1628, 1948),
    "672x672": (2928, 3699, 3699, 1312, 2928),
    "1000x1000": (2928, 7371, 3699, 1312, 2928),
    "4000x4000": (2928, 7371, 3699, 1312, 2928),
    "1280x720": (1948, 5967, 2379, 1628, 1948),
    "500x375": (2340, 1728, 1728, 1632, 2340),
    "333x500": (1476, 1849, 1849, 1840, 1476),
    "2000x500": (1890, 7249, 2451, 1296, 2904),
    "500x2000": (1944, 7371, 2511, 1344, 2976),
    "3000x300": (1160, 3500, 1467, 1226, 1546),
    "300x3000": (1224, 3645, 1539, 1312, 1632),
    "5000x100": (722, 1218, 811, 450, 770),
    "100x5000": (792, 1377, 891, 544, 864),
    "10x10": (1176, 1485, 1513, 528, 1176),
    "1x1000": (648, 891, 891, 336, 648),
    "1000x1": (576, 811, 811, 256, 576),
    "32x32": (1176, 1485, 1513, 528, 1176),
    "1344x336": (1890, 3672, 2451, 1296, 2904),
    "336x1344": (1944, 3753, 2511, 1344, 2976),
    "2480x3508": (2256, 7353, 2835, 1774, 2256),
    "800x1333": (1968, 7857, 2511, 1648, 1968),
    "2304x2304": (2928, 7371, 3699, 1312, 2928),
    "3500x2304": (2144, 7294, 2709, 1824, 2144),
    "768x384": (1752, 2214, 2214, 1432, 1752),
    "385x384": (2928, 1512, 1512, 1312, 2928),
    "1536x1536": (2928, 7371, 3699, 1312, 2928),
}


def grid_named(name: str, **changes: Any) -> GridSpec:
    return build(GridSpec, yaml.safe_load((GRIDS / f"{name}.yaml").read_text()) | changes, where=name)


def golden_fields(plan: VisualPlan) -> dict[str, int]:
    canvas, segment = plan.canvases[-1], plan.segments[-1]
    return {
        "grid_rows": canvas.tiles.h,
        "grid_cols": canvas.tiles.w,
        "resized_width": canvas.content_px.w,
        "resized_height": canvas.content_px.h,
        "pad_left": canvas.content_px.x,
        "pad_top": canvas.content_px.y,
        "kept_rows": segment.crop_tok.h,
        "kept_cols": segment.crop_tok.w,
        "out_rows": segment.out.h,
        "out_cols": segment.out.w,
        "tokens": plan.num_tokens,
    }


@pytest.fixture(scope="module")
def goldens(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "goldens" / "image_plans.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_list_is_the_golden_one(name: str, goldens: dict[str, Any]) -> None:
    listed = goldens["lists"][name]
    grid = grid_named(name)
    canvases_wh = [[layout.w * listed["tile_px"], layout.h * listed["tile_px"]] for layout in grid.layouts]
    assert canvases_wh == listed["canvases_wh_in_order"]
    assert grid.target_tiles == listed["max_tiles_threshold"]
    assert set(goldens["lists"]) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_t1_every_golden_layout(name: str, goldens: dict[str, Any]) -> None:
    listed = goldens["lists"][name]
    tile = TileSpec(px=listed["tile_px"], tok=listed["tokens_per_side"])
    # our own lists keep a token of thin images unless asked for the released behaviour
    released = grid_named(name, thin="released")
    transformers = grid_named(name, thin="released", tie_order="transformers", rounding="transformers")
    assert len(goldens["sizes"]) == 200
    for entry in goldens["sizes"]:
        image = HW(entry["height"], entry["width"])
        golden = dict(entry["plans"][name])
        where = f"{name} {image.w}x{image.h}"
        assert plan_image(image, transformers, tile).num_tokens == golden.pop("transformers_tokens"), where
        assert golden_fields(plan_image(image, released, tile)) == golden, where


@pytest.mark.parametrize("name", NAMES)
def test_keeping_a_token_changes_empty_maps_only(name: str, goldens: dict[str, Any]) -> None:
    listed = goldens["lists"][name]
    tile = TileSpec(px=listed["tile_px"], tok=listed["tokens_per_side"])
    keep = grid_named(name, thin="keep")
    empty = 0
    for entry in goldens["sizes"]:
        golden = {key: entry["plans"][name][key] for key in entry["plans"][name] if key != "transformers_tokens"}
        planned = golden_fields(plan_image(HW(entry["height"], entry["width"]), keep, tile))
        if golden["out_rows"] and golden["out_cols"]:
            assert planned == golden
        else:
            empty += 1
            assert planned["out_rows"] >= 1
            assert planned["out_cols"] >= 1
    # the goldens hold such sizes for the lists of 24 and 16 tokens a side, none for 27, an odd number
    assert (empty > 0) == (tile != SIGLIP_384)


@pytest.mark.parametrize("size", WORKED)
def test_t1_worked_token_counts(size: str) -> None:
    width, height = map(int, size.split("x"))
    image = HW(height, width)
    counted = [
        plan_image(image, grid_named(name), tile).num_tokens
        for name, tile in zip(WORKED_LISTS, WORKED_TILES, strict=True)
    ]
    assert tuple(counted) == WORKED[size]


@pytest.mark.parametrize(
    ("size", "released", "transformers"),
    [
        # both sides fit one tile and the list has no 1x1: the order of the list decides, and is read transposed
        (HW(336, 336), ((2, 1), 1513), ((1, 2), 1512)),
        # below, the released truncation keeps 26 of the tall side, rounding first keeps 28
        (HW(99, 99), ((2, 1), 729 + 26 * 28), ((1, 2), 729 + 27 * 29)),
    ],
)
def test_ties_and_rounding_of_transformers(size: HW, released: Any, transformers: Any) -> None:
    grid = grid_named("interleave")
    plan = plan_image(size, grid, SIGLIP_384)
    assert (tuple(plan.canvases[1].tiles), plan.num_tokens) == released
    other = grid_named("interleave", tie_order="transformers", rounding="transformers")
    plan = plan_image(size, other, SIGLIP_384)
    assert (tuple(plan.canvases[1].tiles), plan.num_tokens) == transformers


def test_t6_edges_of_padding_removal() -> None:
    # the released list keeps 72 empty rows of a 1x1000 image, and nothing of a 1000x1
    grid = grid_named("llava-next")
    assert plan_image(HW(1000, 1), grid, CLIP_336).num_tokens == 648
    assert plan_image(HW(1, 1000), grid, CLIP_336).num_tokens == 576


def test_t7_most_tokens_of_onevision() -> None:
    # 98 x 81 at a ratio of 1.09994 stays below the slack of 1.1
    plan = plan_image(HW(1173, 977), grid_named("onevision"), SIGLIP_384)
    assert plan.segments[1].out == HW(98, 81)
    assert plan.num_tokens == 8765


def test_most_tokens_of_the_other_lists() -> None:
    assert plan_image(HW(672, 672), grid_named("llava-next"), CLIP_336).num_tokens == 2928
    assert plan_image(HW(2000, 500), grid_named("llava-next-blog"), CLIP_336).num_tokens == 2976
    assert plan_image(HW(1133, 183), grid_named("llava-1.5-hd"), CLIP_224).num_tokens == 1888
    assert plan_image(HW(768, 768), grid_named("interleave"), SIGLIP_384).num_tokens == 3699


def test_merges_of_640x480() -> None:
    # 2 x 2 tiles and the overview: 5 * 576 without padding removal
    image = HW(480, 640)
    counts = {
        (merge, overview): plan_image(
            image, grid_named("llava-next", merge=merge, overview=overview), CLIP_336
        ).num_tokens
        for merge in ("flat", "spatial", "spatial_unpad", "spatial_maxpool2x2")
        for overview in ("squash", "none")
    }
    assert counts == {
        ("flat", "squash"): 2880,
        ("spatial", "squash"): 2880,
        ("spatial_unpad", "squash"): 2340,
        ("flat", "none"): 2304,
        ("spatial", "none"): 2304,
        ("spatial_unpad", "none"): 1764,
        ("spatial_maxpool2x2", "squash"): 1152,
        ("spatial_maxpool2x2", "none"): 576,
    }


@pytest.mark.parametrize(
    ("layout", "tile", "out"),
    [
        (HW(2, 2), CLIP_336, HW(24, 24)),
        (HW(1, 3), CLIP_336, HW(12, 36)),
        # an odd map: its last row and column are dropped
        (HW(1, 3), SIGLIP_384, HW(13, 40)),
        (HW(3, 2), SIGLIP_384, HW(40, 27)),
    ],
)
def test_max_pooled_merge(layout: HW, tile: TileSpec, out: HW) -> None:
    grid = GridSpec(layouts=(layout,), merge="spatial_maxpool2x2")
    plan = plan_image(HW(300, 700), grid, tile)
    assert plan.num_tokens == tile.tok**2 + out.area
    detail = plan.segments[1]
    assert (detail.out, detail.crop_tok, detail.reduce, detail.end) == (out, (0, 0, *out.times(2)), "max", "none")


def test_max_pooled_merge_of_one_view_closes_nothing() -> None:
    assert plan_image(HW(480, 640), GridSpec(merge="spatial_maxpool2x2"), CLIP_336).num_tokens == 576


def test_a_square_of_tiles_filled_by_the_padded_image() -> None:
    """The released mode "highres" at an edge of 672 pixels."""
    grid = grid_named("highres-2x2")
    plan = plan_image(HW(480, 640), grid, CLIP_336)
    assert [(canvas.fit, canvas.tiles) for canvas in plan.canvases] == [("paste", (1, 1)), ("pad_square", (2, 2))]
    assert tuple(plan.canvases[1].content_px) == (84, 0, 504, 672)
    assert plan.num_tokens == 5 * 576
    with pytest.raises(ValueError, match=r"'pad_square' fills square layouts, got \[\(1, 2\)\]"):
        GridSpec(layouts=(HW(1, 2),), detail="pad_square")


def test_one_view() -> None:
    image = HW(480, 640)
    assert plan_image(image, grid_named("pad"), CLIP_336).num_tokens == 576
    assert plan_image(image, grid_named("crop"), CLIP_336).num_tokens == 576
    assert plan_image(image, grid_named("none"), CLIP_336).num_tokens == 577
    assert plan_image(image, grid_named("pad-end"), SIGLIP_384).num_tokens == 730
    # shortest side to 336, 448 pixels wide, 56 cut at each end; padded: 84 rows above and below of 252
    assert tuple(plan_image(image, grid_named("crop"), CLIP_336).canvases[0].content_px) == (0, -56, 336, 448)
    assert tuple(plan_image(image, grid_named("pad"), CLIP_336).canvases[0].content_px) == (42, 0, 252, 336)
