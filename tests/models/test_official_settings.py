"""What official config.json files of the releases mean: grids, merging, frames."""

from dataclasses import replace

import pytest

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.checkpoints.official_settings import grid_of, video_of
from models.checkpoints.pinpoints import layouts, pinpoints, transformers_layouts, transformers_pinpoints
from video.clip import VideoSpec

NEXT_5 = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
UNPAD = {"mm_patch_merge_type": "spatial_unpad"}


@pytest.fixture
def clip_336(tiny_spec):
    return replace(tiny_spec().encoder, tile_px=336)


@pytest.fixture
def siglip_384(tiny_spec):
    return replace(tiny_spec().encoder, backend="hf_siglip", tile_px=384, prefix_tokens=0)


def test_the_released_list_is_width_by_height():
    # (336, 672) is 336 wide and 672 high: 2 rows of 1 tile
    assert layouts(NEXT_5, 336, "x") == (HW(2, 1), HW(1, 2), HW(2, 2), HW(1, 3), HW(3, 1))
    assert pinpoints(layouts(NEXT_5, 336, "x"), 336) == NEXT_5


def test_a_range_takes_its_first_and_last_pair_columns_outer():
    found = layouts("(1x1),...,(6x6)", 384, "x")
    assert len(found) == 36
    assert found[:7] == (HW(1, 1), HW(2, 1), HW(3, 1), HW(4, 1), HW(5, 1), HW(6, 1), HW(1, 2))
    # what stands between the first and the last pair has no say
    assert layouts("(1x1),(2x2),(3x1)", 336, "x") == (HW(1, 1), HW(1, 2), HW(1, 3))


@pytest.mark.parametrize(
    ("raw", "tile_px", "message"),
    [
        ("1x1 to 2x2", 336, "expected a list or a range"),
        ("(1x1),...,(2x2)", 300, "a range needs a tile of"),
        ([[336, 672], [336]], 336, r"x\[1\]: expected two multiples of the tile's 336 pixels, got \[336\]"),
        ([[0, 336]], 336, r"x\[0\]"),
    ],
)
def test_bad_lists_are_named(raw, tile_px, message):
    with pytest.raises(ValueError, match=message):
        layouts(raw, tile_px, "x")


def test_transformers_reads_the_same_numbers_as_height_by_width():
    closed, order = transformers_layouts(NEXT_5, 336, "x")
    assert (closed, order) == (layouts(NEXT_5, 336, "x"), "transformers")
    # without the transposes only turning gives transformers' grids: [[336, 672]] is 1 row of 2 tiles there
    turned, order = transformers_layouts([[336, 672]], 336, "x")
    assert (turned, order) == ((HW(1, 2),), "released")
    assert transformers_pinpoints(GridSpec(layouts=turned), 336) == [[336, 672]]
    assert transformers_pinpoints(GridSpec(layouts=closed), 336) == NEXT_5


def test_llava_next(clip_336):
    config = {**UNPAD, "image_aspect_ratio": "anyres", "image_grid_pinpoints": NEXT_5}
    expected = GridSpec(layouts=(HW(2, 1), HW(1, 2), HW(2, 2), HW(1, 3), HW(3, 1)), thin="released")
    assert grid_of(config, clip_336, "x") == expected


def test_llava_1_5_pads_to_one_view(clip_336):
    assert grid_of({"image_aspect_ratio": "pad"}, clip_336, "x") == GridSpec(overview="pad", merge="flat")


def test_no_aspect_ratio_is_the_processors_own_resizing(clip_336, siglip_384):
    assert grid_of({"image_aspect_ratio": None}, clip_336, "x").overview == "crop"
    assert grid_of({}, siglip_384, "x").overview == "squash"


def test_onevision(siglip_384):
    raw = [[cols * 384, rows * 384] for cols in range(1, 7) for rows in range(1, 7)]
    config = {
        **UNPAD,
        "image_aspect_ratio": "anyres_max_9",
        "image_grid_pinpoints": raw,
        "mm_newline_position": "one_token",
        "mm_spatial_pool_mode": "bilinear",
    }
    grid = grid_of(config, siglip_384, "x")
    assert (len(grid.layouts), grid.layouts[1], grid.target_tiles, grid.slack) == (36, HW(2, 1), 9, 1.1)
    expected = VideoSpec(num_frames=16, pool=2, pool_mode="bilinear", end="one_token", fit="squash")
    assert video_of(config, siglip_384, "x") == expected


@pytest.mark.parametrize(
    ("config", "end", "mode", "before"),
    [
        ({**UNPAD}, "one_token", "bilinear", False),
        ({**UNPAD, "mm_newline_position": "grid", "mm_spatial_pool_mode": "average"}, "grid", "average", False),
        ({"mm_patch_merge_type": "spatial"}, "no_token", "bilinear", False),
        ({}, "no_token", "bilinear", False),
        ({**UNPAD, "mm_resampler_type": "spatial_pool"}, "no_token", "average", True),
    ],
    ids=["key absent", "grid", "spatial", "flat", "next-video"],
)
def test_ends_and_pooling_of_clips(clip_336, config, end, mode, before):
    video = video_of(config, clip_336, "x")
    assert (video.end, video.pool_mode, video.pool_before_projector, video.fit) == (end, mode, before, "crop")
