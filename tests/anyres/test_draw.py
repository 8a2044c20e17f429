"""Pictures of plans: the right areas are shaded, and every row end is drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyres import HW, GridSpec, TileSpec, plan_image
from anyres.cost import Price
from anyres.draw import draw_media, draw_medium, placeholder
from anyres.paint import HATCH, ROW_END, TILE
from anyres.report import PlannedMedium
from video.clip import VideoSpec
from video.plan import plan_clip

FREE = Price(
    tiles=0,
    visual_tokens=0,
    text_tokens=0,
    sequence=0,
    encoder_flops=0,
    projector_flops=0,
    prefill_flops=0,
    kv_cache_bytes=0,
    context_share=0.5,
)
CLIP = TileSpec.of(336, 14)


def planned(image: HW, grid: GridSpec) -> PlannedMedium:
    plan = plan_image(image, grid, CLIP)
    detail = len(plan.canvases) - 1 if grid.layouts else None
    return PlannedMedium(name="page.jpg", size=image, plan=plan, price=FREE, rope_factor=1.0, detail=detail)


def near(picture: Image.Image, colour: tuple[int, ...], tolerance: int = 12) -> np.ndarray:
    pixels_HWC = np.asarray(picture, dtype=np.int16)
    return (np.abs(pixels_HWC - np.array(colour[:3])) <= tolerance).all(-1)


def runs(line: np.ndarray) -> int:
    """Count the runs of True in a line of pixels."""
    return int(line[0]) + int((line[1:] & ~line[:-1]).sum())


def test_row_ends_and_removed_padding_are_drawn() -> None:
    # 640 x 480 on 2 x 2 tiles: 36 of 48 rows kept, so an eighth of the canvas is removed above and below
    medium = planned(HW(480, 640), GridSpec(layouts=(HW(2, 2),)))
    picture = draw_medium(medium, [Image.new("RGB", (640, 480), (60, 120, 60))])
    assert picture.width == 1280
    # the legend has one mark of that colour too: look beside the canvas only
    ends_HW = near(picture, ROW_END, 70)[:, picture.width // 2 :]
    column = int(ends_HW.sum(0).argmax())
    assert runs(ends_HW[:, column]) == 36
    tall = np.flatnonzero(ends_HW[:, column])
    canvas = np.flatnonzero(near(picture, TILE)[:, picture.width - 60])
    height = canvas[-1] - canvas[0]
    assert (tall[-1] - tall[0]) / height == pytest.approx(36 / 48, abs=0.02)
    hatched_H = near(picture, HATCH, 40)[canvas[0] : canvas[-1], 500:1200].any(1)
    assert hatched_H[: height // 10].mean() > 0.8
    assert not hatched_H[height // 5 : 4 * height // 5].any()


def test_a_page_turned_on_its_side_moves_the_shading() -> None:
    grid = GridSpec(layouts=(HW(2, 2),))
    wide = near(draw_medium(planned(HW(300, 600), grid), [Image.new("RGB", (600, 300))]), HATCH, 40)
    tall = near(draw_medium(planned(HW(600, 300), grid), [Image.new("RGB", (300, 600))]), HATCH, 40)
    # the middle row of the canvas is padded at its ends only for the tall page
    middle = slice(430, 540)
    assert not wide[middle, 520:1220].any()
    assert tall[middle, 520:600].any()
    assert tall[middle, 1120:1220].any()


def test_every_frame_of_a_clip_is_shown() -> None:
    video = VideoSpec(num_frames=6, end="grid", pool_mode="average")
    plan = plan_clip(HW(240, 426), 6, video, CLIP)
    clip = {"frames": 6, "frame_indices": [0, 10, 20, 30, 40, 50], "fps": 10.0}
    medium = PlannedMedium(name="a.mp4", size=HW(240, 426), plan=plan, price=FREE, rope_factor=1.0, clip=clip)
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (190, 190, 30), (190, 30, 190), (30, 190, 190)]
    frames = [np.full((240, 426, 3), colour, dtype=np.uint8) for colour in colours]
    picture = draw_medium(medium, frames)
    counts = [int(near(picture, colour, 30).sum()) for colour in colours]
    assert min(counts) > 0.6 * max(counts) > 1000


def test_the_vector_that_closes_a_slowfast_frame_is_marked() -> None:
    def marked(video: VideoSpec) -> int:
        clip = {"frames": 2, "frame_indices": [0, 10], "fps": 10.0}
        plan = plan_clip(HW(240, 240), 2, video, CLIP)
        medium = PlannedMedium(name="a.mp4", size=HW(240, 240), plan=plan, price=FREE, rope_factor=1.0, clip=clip)
        picture = draw_medium(medium, [np.zeros((240, 240, 3), dtype=np.uint8)] * 2)
        return int(near(picture, ROW_END, 20).sum())

    # every frame slow, so that nothing but the two marks of 14 x 7 pixels differs
    assert 150 <= marked(VideoSpec(slow_every=1)) - marked(VideoSpec()) <= 250


def test_inputs_stand_below_each_other_in_one_file(tmp_path: Path) -> None:
    media = [planned(HW(480, 640), GridSpec(layouts=(HW(2, 2),))), planned(HW(900, 20), GridSpec(overview="pad"))]
    media.append(planned(HW(1, 1000), GridSpec(layouts=(HW(1, 3),), thin="released")))
    frames = [[placeholder(medium.size)] for medium in media]
    draw_media(media, frames, tmp_path / "plan.png")
    with Image.open(tmp_path / "plan.png") as picture:
        heights = [draw_medium(medium, shown).height for medium, shown in zip(media, frames, strict=True)]
        assert picture.size == (1280, sum(heights))
    with pytest.raises(ValueError, match="unknown file extension"):
        draw_media(media, frames, tmp_path / "plan.xyz")


def test_placeholder_has_the_aspect_of_its_size() -> None:
    assert placeholder(HW(100, 50)).size == (50, 100)
    assert placeholder(HW(8000, 1)).size == (1, 1024)
