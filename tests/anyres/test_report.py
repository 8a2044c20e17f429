"""Rows and table of anyres-plan, and the words that name sizes."""

import pytest

from anyres import HW, GridSpec, TileSpec, plan_image
from anyres.cost import Price
from anyres.media_size import parse_size
from anyres.report import PlannedMedium, json_row, table, token_steps

TILE = TileSpec.of(336, 14)
FREE = Price(
    tiles=5,
    visual_tokens=0,
    text_tokens=0,
    sequence=0,
    encoder_flops=10**12,
    projector_flops=0,
    prefill_flops=10**12,
    kv_cache_bytes=0,
    context_share=0.25,
)


def planned(image: HW, grid: GridSpec) -> PlannedMedium:
    plan = plan_image(image, grid, TILE)
    detail = len(plan.canvases) - 1 if grid.layouts else None
    return PlannedMedium(name="a.png", size=image, plan=plan, price=FREE, rope_factor=2.0, detail=detail)


def test_steps_of_a_target() -> None:
    # 1700 x 2200 on 2 x 2: 48 x 38 tokens kept, 38 x 30 after the target of 1152
    plan = plan_image(HW(2200, 1700), GridSpec(layouts=(HW(2, 2),), target_tok=1152), TILE)
    assert token_steps(plan) == {
        "tokens_encoded": 2880,
        "tokens_kept": 576 + 48 * 38,
        "tokens_resampled": 576 + 38 * 30,
        "row_ends": 38,
        "tokens": 1754,
    }


@pytest.mark.parametrize(
    ("grid", "kept", "out"),
    [
        (GridSpec(layouts=(HW(2, 3),)), (48, 72), (48, 72)),
        (GridSpec(layouts=(HW(2, 3),), merge="flat"), (48, 72), (48, 72)),
        # (2 * 3 + 1) * 100 tokens: 10 a side of each tile
        (GridSpec(layouts=(HW(2, 3),), target_tok=700, rule="blog"), (48, 72), (20, 30)),
        (GridSpec(layouts=(HW(2, 3),), overview="none"), (48, 72), (48, 72)),
    ],
)
def test_rows_and_columns_of_every_merge(grid: GridSpec, kept: tuple[int, int], out: tuple[int, int]) -> None:
    row = json_row(planned(HW(400, 600), grid))
    assert (row["grid_rows"], row["grid_cols"]) == (2, 3)
    assert (row["kept_rows"], row["kept_cols"]) == kept
    assert (row["out_rows"], row["out_cols"]) == out
    assert (row["width"], row["height"], row["kind"], row["rope_factor"]) == (600, 400, "image", 2.0)


def test_overview_only() -> None:
    row = json_row(planned(HW(480, 640), GridSpec(overview="pad", merge="flat")))
    assert (row["grid_rows"], row["grid_cols"], row["tiles"], row["tokens"]) == (0, 0, 1, 576)
    assert (row["resized_width"], row["resized_height"], row["pad_left"], row["pad_top"]) == (336, 252, 0, 42)


def test_table_is_aligned_and_says_the_counts() -> None:
    text = table([planned(HW(480, 640), GridSpec(layouts=(HW(2, 2),))), planned(HW(9, 9), GridSpec())])
    head, first, second = text.splitlines()
    counts = ["5", "2,880", "2,304", "2,304", "36", "2,340"]
    assert first.split() == ["a.png", "640x480", "2", "x", "2", *counts, "25.0%", "x2", "2", "T"]
    assert second.split() == ["a.png", "9x9", "none", "1", "576", "576", "576", "1", "577", "25.0%", "x2", "2", "T"]
    assert len(head) == len(first) == len(second)


def test_sizes_are_width_by_height() -> None:
    assert parse_size("640x480") == HW(h=480, w=640)
    assert parse_size("7X9") == HW(h=9, w=7)
    assert parse_size("page.jpg") is None
    assert parse_size("640x480.png") is None
    assert parse_size("-1x5") is None
    with pytest.raises(ValueError, match="0x5: expected at least 1x1 pixels"):
        parse_size("0x5")
