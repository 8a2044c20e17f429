"""The three ways to prepare pixels: exact is PIL's, fast at most 2 grey levels from it, draft from a smaller decode."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anyres.decode import open_image
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.passes import columns_first
from anyres.picture import needed_size
from anyres.pixels import normalise, render, render_uint8
from anyres.plan import VisualPlan, plan_image
from anyres.reading import read_picture
from anyres.resize import resize_exact
from anyres.resize_fast import resize_fast
from video.clip import VideoSpec
from video.plan import plan_clip

NEXT = GridSpec(layouts=(HW(2, 1), HW(1, 2), HW(2, 2), HW(1, 3), HW(3, 1)))
TILE = TileSpec.of(112, 14)
GREY = (127, 127, 127)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def noise(size: HW, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size.h, size.w, 3), dtype=np.uint8)


def photo(size: HW, seed: int = 0) -> Image.Image:
    """Soft shapes with a little noise, as photos have."""
    small = noise(HW(9, 12), seed)
    large = np.asarray(Image.fromarray(small).resize((size.w, size.h), Image.Resampling.BICUBIC)).astype(np.int16)
    rough = np.random.default_rng(seed).integers(-6, 7, large.shape)
    return Image.fromarray((large + rough).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, turn: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, exif=exif, **options)
    return file.getvalue()


def levels(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(a).astype(np.int16) - np.asarray(b).astype(np.int16))


def plan_of(size: HW) -> VisualPlan:
    return plan_image(size, NEXT, TILE)


def test_the_order_of_passes_is_the_one_that_pil_has() -> None:
    """On 400 random pairs of sizes, some of them ties of the rule."""
    draw = np.random.default_rng(3)
    for seed in range(400):
        h, w, to_h, to_w = (int(side) for side in draw.integers(1, 70, 4))
        source, target = HW(h, w), HW(to_h, to_w) if seed % 4 else HW(max(h - 2 * (w - 1), 1), 1)
        image = Image.fromarray(noise(source, seed))
        between = (source.w, target.h) if columns_first(source, target) else (target.w, source.h)
        twice = image.resize(between, Image.Resampling.BICUBIC).resize((target.w, target.h), Image.Resampling.BICUBIC)
        assert twice.tobytes() == image.resize((target.w, target.h), Image.Resampling.BICUBIC).tobytes()


def test_fast_is_at_most_two_levels_from_exact() -> None:
    """Over 300 random sizes of noise, the hardest content there is: most 2 levels, mean below 0.01."""
    draw, worst, total, count = np.random.default_rng(7), 0, 0.0, 0
    for seed in range(300):
        source, target = (HW(*(int(side) for side in draw.integers(2, 260, 2))) for _ in range(2))
        pixels_HW3 = noise(source, seed)
        (exact,), (fast,) = resize_exact(pixels_HW3, [target]), resize_fast(pixels_HW3, [target])
        off = levels(exact, fast)
        worst, total, count = max(worst, int(off.max())), total + float(off.sum()), count + off.size
    print(f"fast: at most {worst} levels, {total / count:.5f} on average, over {count} values")
    assert worst <= 2
    assert total / count < 0.01


@pytest.mark.parametrize("size", [HW(480, 640), HW(1147, 1920), HW(900, 300), HW(112, 112)], ids=str)
def test_fast_tiles_are_at_most_two_levels_from_exact_ones(size: HW) -> None:
    for image in (photo(size), Image.fromarray(noise(size))):
        exact, fast = (render_uint8(plan_of(size), [image], GREY, mode) for mode in ("exact", "fast"))
        assert levels(exact, fast).max() <= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tiles_in_a_shorter_dtype_are_the_float32_ones_rounded_once(dtype: torch.dtype) -> None:
    tiles = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)
    found = normalise(tiles, MEAN, STD, dtype)
    assert found.dtype == dtype
    assert torch.equal(found, normalise(tiles, MEAN, STD).to(dtype))
    kept = torch.zeros(tiles.shape, dtype=dtype)
    assert normalise(tiles, MEAN, STD, dtype, kept) is kept
    assert torch.equal(kept, found)
    with pytest.raises(ValueError, match="out: expected"):
        normalise(tiles, MEAN, STD, dtype, kept[:1])
    image = photo(HW(150, 200))
    whole = render(plan_of(HW(150, 200)), [image], MEAN, STD)
    assert torch.equal(render(plan_of(HW(150, 200)), [image], MEAN, STD, dtype=dtype), whole.to(dtype))


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"restart_marker_rows": 1}], ids=str)
def test_fast_reading_gives_the_pixels_of_pil(options: dict[str, object]) -> None:
    data = jpeg(photo(HW(211, 307)), **options)
    picture = read_picture(data, "fast")
    # not by PIL: that would prove nothing
    assert isinstance(picture.pixels, np.ndarray)
    assert np.array_equal(picture.pixels, np.asarray(open_image(data)))
    assert picture.size == HW(211, 307)


def test_what_the_fast_decoder_does_not_cover_is_read_by_pil(tmp_path: Path) -> None:
    image = photo(HW(60, 90))
    image.save(tmp_path / "page.png")
    cases = [jpeg(image, turn) for turn in range(2, 9)]
    cases += [jpeg(image.convert("L")), jpeg(image.convert("CMYK")), jpeg(image, progressive=True)]
    for source in [*cases, tmp_path / "page.png", image]:
        picture = read_picture(source, "fast")
        assert np.array_equal(np.asarray(picture.pixels), np.asarray(open_image(source)))


def test_damaged_files_are_the_same_error_in_every_mode(tmp_path: Path) -> None:
    whole = jpeg(photo(HW(400, 300)))
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "junk.jpg").write_bytes(whole[:3] + bytes(500))
    for name in ("cut.jpg", "junk.jpg", "absent.jpg"):
        kinds = []
        for mode in ("exact", "fast", "draft"):
            with pytest.raises(MediaError, match=name) as caught:
                read_picture(tmp_path / name, mode, lambda size: HW(20, 20))
            kinds.append(caught.value.kind)
        assert len(set(kinds)) == 1, kinds


@pytest.mark.parametrize("turn", [1, 3, 6])
def test_draft_decodes_fewer_pixels_and_plans_by_the_files_size(turn: int) -> None:
    data = jpeg(photo(HW(1200, 1600)), turn)
    upright = HW(1200, 1600) if turn < 5 else HW(1600, 1200)
    plan = plan_of(upright)
    picture = read_picture(data, "draft", lambda size: needed_size(plan_of(size)))
    assert picture.size == upright
    # 224 x 224 at most are needed: a quarter of each side still has them
    assert isinstance(picture.pixels, Image.Image)
    assert picture.pixels.size == (upright.w // 4, upright.h // 4)
    draft = render_uint8(plan, [picture.pixels], GREY, "draft")
    off = levels(draft, render_uint8(plan, [open_image(data)], GREY))
    # inexact, but of the same picture: far from a turned or shifted one
    assert 0 < off.mean() < 2
    assert levels(draft, render_uint8(plan, [open_image(data).rotate(180)], GREY)).mean() > 20


def test_draft_reads_a_file_whole_that_has_no_pixels_to_spare() -> None:
    data = jpeg(photo(HW(200, 300)))
    picture = read_picture(data, "draft", lambda size: needed_size(plan_of(size)))
    assert np.array_equal(np.asarray(picture.pixels), np.asarray(open_image(data)))
    assert np.array_equal(np.asarray(read_picture(data, "draft").pixels), np.asarray(open_image(data)))


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels: expected one of exact, fast, draft, got 'quick'"):
        read_picture(b"", "quick")
    with pytest.raises(ValueError, match="got 'quick'"):
        render_uint8(plan_of(HW(9, 9)), [photo(HW(9, 9))], GREY, "quick")


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_threads_change_no_bit(mode: str) -> None:
    """Of a clip, whose frames go to several threads, and of an image, whose views do."""
    frames = [noise(HW(90, 120), seed) for seed in range(7)]
    clip = plan_clip(HW(90, 120), 7, VideoSpec(fit="crop", num_frames=7), TILE)
    before, drawn = torch.get_num_threads(), {}
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            drawn[threads] = (
                render_uint8(clip, frames, GREY, mode),
                render_uint8(plan_of(HW(90, 120)), frames[:1], GREY, mode),
            )
    finally:
        torch.set_num_threads(before)
    for one, other in zip(drawn[1], drawn[3], strict=True):
        assert torch.equal(one, other)
