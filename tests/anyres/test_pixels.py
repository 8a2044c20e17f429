"""Rendered tiles equal, bit for bit, what transformers' PIL processors make of the same picture."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from anyres.geometry import HW, Box
from anyres.grid import GridSpec, TileSpec
from anyres.pixels import mean_colour, normalise, render, render_uint8
from anyres.plan import Canvas, Segment, VisualPlan, plan_image
from video.clip import VideoSpec
from video.plan import plan_clip

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
# the released list of LLaVA-NeXT, as (rows, cols)
NEXT = (HW(2, 1), HW(1, 2), HW(2, 2), HW(1, 3), HW(3, 1))
SIDES = (480, 640), (640, 480), (899, 1024), (1080, 1920), (500, 333), (505, 672), (1, 1), (1, 1000), (1000, 1), (7, 5)
MORE = (56, 56), (57, 56), (113, 112), (336, 336), (25, 400), (311, 97), (112, 168), (211, 211)
SIZES = [HW(*side) for side in (*SIDES, *MORE)]


def picture(size: HW, seed: int = 0) -> Image.Image:
    """Noise over a gradient: every pixel differs from its neighbours, so a shift by one shows."""
    noise = np.random.default_rng(seed).integers(0, 120, (size.h, size.w, 3))
    ramp = (np.arange(size.w)[None, :, None] * 135) // max(size.w - 1, 1)
    return Image.fromarray((noise + ramp).astype(np.uint8))


def random_sizes(count: int, seed: int) -> list[HW]:
    draw = random.Random(seed)
    return [HW(draw.randint(1, 400), draw.randint(1, 400)) for _ in range(count)]


def transformers_next(image: Image.Image, px: int) -> torch.Tensor:
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": px},
        crop_size={"height": px, "width": px},
        image_grid_pinpoints=[[grid.w * px, grid.h * px] for grid in NEXT],
    )
    return processor(image, return_tensors="pt")["pixel_values"][0]


@pytest.mark.parametrize("size", [*SIZES, *random_sizes(40, seed=1)], ids=str)
def test_tiles_equal_transformers(size: HW) -> None:
    grid = GridSpec(layouts=NEXT, tie_order="transformers", rounding="transformers")
    plan = plan_image(size, grid, TileSpec.of(56, 14))
    image = picture(size)
    assert torch.equal(render(plan, [image], CLIP_MEAN, CLIP_STD), transformers_next(image, 56))


@pytest.mark.parametrize("size", [*SIZES[:1], *SIZES[3:6:2], HW(1300, 400)], ids=str)
def test_released_order_equals_transformers_at_336(size: HW) -> None:
    plan = plan_image(size, GridSpec(layouts=NEXT), TileSpec.of(336, 14))
    image = picture(size)
    assert torch.equal(render(plan, [image], CLIP_MEAN, CLIP_STD), transformers_next(image, 336))


@pytest.mark.parametrize("size", [*SIZES, *random_sizes(20, seed=2)], ids=str)
@pytest.mark.parametrize(("mean", "std"), [(CLIP_MEAN, CLIP_STD), (HALF, HALF)], ids=["clip", "siglip"])
def test_pad_equals_transformers(size: HW, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
    plan = plan_image(size, GridSpec(overview="pad"), TileSpec.of(56, 14))
    processor = LlavaImageProcessorPil(
        do_pad=True, size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_mean=mean, image_std=std
    )
    image = picture(size)
    assert torch.equal(render(plan, [image], mean, std), processor(image, return_tensors="pt")["pixel_values"])


@pytest.mark.parametrize("size", [*SIZES, *random_sizes(20, seed=3)], ids=str)
def test_squash_equals_siglip(size: HW) -> None:
    plan = plan_image(size, GridSpec(overview="squash"), TileSpec.of(56, 14))
    processor = SiglipImageProcessorPil(size={"height": 56, "width": 56})
    image = picture(size)
    assert torch.equal(render(plan, [image], HALF, HALF), processor(image, return_tensors="pt")["pixel_values"])


@pytest.mark.parametrize("size", [*SIZES, *random_sizes(20, seed=4)], ids=str)
def test_crop_equals_clip(size: HW) -> None:
    plan = plan_image(size, GridSpec(overview="crop"), TileSpec.of(56, 14))
    processor = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    image = picture(size)
    expected = processor(image, return_tensors="pt")["pixel_values"]
    assert torch.equal(render(plan, [image], CLIP_MEAN, CLIP_STD), expected)


@pytest.mark.parametrize("size", [HW(48, 86), HW(97, 64), HW(120, 120)], ids=str)
def test_frames_of_a_clip_equal_the_processor_frame_by_frame(size: HW) -> None:
    frames = np.stack([np.asarray(picture(size, seed)) for seed in range(3)])
    tile = TileSpec.of(56, 14)
    cropped = render(plan_clip(size, 3, VideoSpec(fit="crop"), tile), frames, CLIP_MEAN, CLIP_STD)
    clip = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    assert torch.equal(cropped, clip([Image.fromarray(f) for f in frames], return_tensors="pt")["pixel_values"])
    squashed = render(plan_clip(size, 3, VideoSpec(fit="squash"), tile), frames, HALF, HALF)
    siglip = SiglipImageProcessorPil(size={"height": 56, "width": 56})
    assert torch.equal(squashed, siglip([Image.fromarray(f) for f in frames], return_tensors="pt")["pixel_values"])


def test_tiles_are_row_major_and_padding_is_black() -> None:
    # a 2x1 picture, left red and right blue, on one row of two tiles: red tile first
    image = Image.new("RGB", (112, 40), (255, 0, 0))
    image.paste((0, 0, 255), (56, 0, 112, 40))
    plan = plan_image(HW(40, 112), GridSpec(layouts=(HW(1, 2),), overview="none"), TileSpec.of(56, 14))
    tiles = render_uint8(plan, [image], (9, 9, 9))
    assert tiles.shape == (2, 3, 56, 56) and tiles.dtype == torch.uint8
    assert tiles[0, :, 28, 10].tolist() == [255, 0, 0]
    assert tiles[1, :, 28, 46].tolist() == [0, 0, 255]
    # 40 rows centred in 56: 8 black rows above and below
    assert tiles[:, :, :8].max() == 0 and tiles[:, :, 48:].max() == 0 and tiles[0, 0, 8:48].min() > 0


def test_render_is_the_normalised_uint8_tiles() -> None:
    plan = plan_image(HW(90, 70), GridSpec(overview="pad"), TileSpec.of(28, 14))
    image = picture(HW(90, 70))
    tiles = render_uint8(plan, [image], mean_colour(CLIP_MEAN))
    assert torch.equal(render(plan, [image], CLIP_MEAN, CLIP_STD), normalise(tiles, CLIP_MEAN, CLIP_STD))


def test_every_grey_value_is_normalised_as_transformers_does() -> None:
    # transformers: float64 product with 1 / 255, rounded to float32, then float32 arithmetic
    values = np.arange(256, dtype=np.uint8)
    scaled = (values.astype(np.float64) * (1 / 255)).astype(np.float32)
    mean, std = np.array(CLIP_MEAN, np.float32), np.array(CLIP_STD, np.float32)
    expected = (scaled[None, :] - mean[:, None]) / std[:, None]
    tile = torch.from_numpy(values).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert np.array_equal(normalise(tile, CLIP_MEAN, CLIP_STD)[0].reshape(3, 256).numpy(), expected)


def test_mean_colours() -> None:
    # published values of the two processors' backgrounds
    assert mean_colour(CLIP_MEAN) == (122, 116, 104)
    assert mean_colour(HALF) == (127, 127, 127)


def test_bad_frames_are_named() -> None:
    tile = TileSpec.of(28, 14)
    plan = plan_image(HW(20, 20), GridSpec(), tile)
    with pytest.raises(ValueError, match="frame 0: expected an RGB image, got mode 'L'"):
        render(plan, [Image.new("L", (20, 20))], HALF, HALF)
    with pytest.raises(ValueError, match=r"frame 0: expected uint8 \[H, W, 3\], got float32 \[20, 20, 3\]"):
        render(plan, [np.zeros((20, 20, 3), np.float32)], HALF, HALF)
    whole = Segment(canvas=0, crop_tok=Box(0, 0, 2, 2), out=HW(2, 2), end="none")
    canvas = Canvas(frame=3, tiles=HW(1, 1), content_px=Box(0, 0, 28, 28))
    with pytest.raises(ValueError, match=r"shows frame 3, but 1 frame\(s\) were given"):
        render(VisualPlan(tile=tile, canvases=(canvas,), segments=(whole,)), [picture(HW(9, 9))], HALF, HALF)
