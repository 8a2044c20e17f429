"""Image files come back upright, RGB and whole, or not at all; sizes read from headers agree with decoded pixels."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyres.decode import image_size, open_image
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.limits import MediaLimits

RED, GREEN, BLUE, YELLOW = (224, 32, 32), (32, 200, 32), (32, 32, 224), (224, 216, 32)
# how to store a picture so that a reader which obeys orientation N sees it upright
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def card() -> Image.Image:
    """96x64 pixels, four quarters: red, green / blue, yellow."""
    image = Image.new("RGB", (96, 64), RED)
    for colour, corner in ((GREEN, (48, 0)), (BLUE, (0, 32)), (YELLOW, (48, 32))):
        image.paste(colour, (*corner, corner[0] + 48, corner[1] + 32))
    return image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def stored(orientation: int, form: str, **options: object) -> bytes:
    turn = STORED.get(orientation)
    raw = card() if turn is None else card().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(raw, form, exif=exif.tobytes(), **options)


def assert_card(image: Image.Image, tolerance: int) -> None:
    assert image.mode == "RGB" and image.size == (96, 64)
    for colour, place in ((RED, (20, 16)), (GREEN, (70, 16)), (BLUE, (20, 48)), (YELLOW, (70, 48))):
        found = image.getpixel(place)
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= tolerance, (place, found)


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9, 255])
def test_exif_orientation(orientation: int) -> None:
    # an orientation that does not exist counts as 1
    data = stored(orientation, "JPEG", quality=95)
    assert_card(open_image(data), tolerance=8)
    assert image_size(data) == HW(64, 96)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_exif_orientation_elsewhere(form: str) -> None:
    data = stored(6, form, lossless=True) if form == "WEBP" else stored(6, form)
    assert_card(open_image(data), tolerance=0)
    assert image_size(data) == HW(64, 96)


def test_png_orientation_behind_the_pixels() -> None:
    plain = encoded(card().transpose(STORED[6]), "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = plain[:-12] + chunk + plain[-12:]
    assert_card(open_image(data), tolerance=0)
    assert image_size(data) == HW(64, 96)


def test_opening_twice_turns_once() -> None:
    once = open_image(stored(6, "JPEG", quality=95))
    assert_card(open_image(once), tolerance=8)
    # an image opened by the caller is turned as well
    assert_card(open_image(Image.open(io.BytesIO(stored(6, "JPEG", quality=95)))), tolerance=8)


def test_transparency_is_white() -> None:
    hidden = np.zeros((64, 96, 4), np.uint8)
    hidden[..., :3] = RED
    hidden[:, 48:, 3] = 255
    image = open_image(encoded(Image.fromarray(hidden), "PNG"))
    assert image.getpixel((20, 30)) == (255, 255, 255)
    assert image.getpixel((70, 30)) == RED
    half = Image.new("LA", (4, 4), (0, 128))
    # 0 * 128/255 + 255 * 127/255
    assert open_image(encoded(half, "PNG")).getpixel((1, 1)) == (127, 127, 127)


def test_palette_with_a_transparent_entry() -> None:
    image = Image.new("P", (4, 2))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1, 0, 1, 0, 1, 0, 1])
    read = open_image(encoded(image, "PNG", transparency=1))
    assert [read.getpixel((x, 0)) for x in range(2)] == [(10, 20, 30), (255, 255, 255)]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(form: str) -> None:
    ramp = np.tile((np.arange(256, dtype=np.uint32) * 257).astype(np.uint16), (4, 1))
    read = np.asarray(open_image(encoded(Image.fromarray(ramp), form)))
    assert np.array_equal(read[0, :, 0], np.arange(256)) and np.array_equal(read[..., 0], read[..., 2])


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_depths_without_a_mapping_are_refused(dtype: type) -> None:
    data = encoded(Image.fromarray(np.ones((4, 4), dtype)), "TIFF")
    with pytest.raises(MediaError, match="scale it to 8 bits") as caught:
        open_image(data)
    assert caught.value.kind == "values" and caught.value.path == "<bytes>"


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_other_modes(mode: str) -> None:
    white = Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode)
    assert open_image(white).getpixel((3, 3)) == (255, 255, 255)


def test_first_picture_of_an_animation() -> None:
    pages = [Image.new("RGB", (8, 6), (value, 0, 0)) for value in (10, 200)]
    assert open_image(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])).getpixel((0, 0)) == (10, 0, 0)


def test_damage_is_refused(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        data = encoded(noise, form)
        with pytest.raises(MediaError, match=r"damaged|truncated|not an image"):
            open_image(data[: len(data) // 2])
    text = tmp_path / "page.jpg"
    text.write_text("<html>404</html>")
    with pytest.raises(MediaError, match=r"page\.jpg: not an image of a known format") as caught:
        image_size(text)
    assert caught.value.kind == "not_media"


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, tmp_path / "missing.png"):
        with pytest.raises(MediaError) as caught:
            open_image(path)
        assert caught.value.kind in ("missing", "not_a_file") and str(path) in str(caught.value)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    data = encoded(Image.new("1", (300, 200)), "PNG")
    assert open_image(data, MediaLimits(pixels=60_000)).size == (300, 200)
    with pytest.raises(MediaError, match="300x200 pixels are above the limit of 59999"):
        open_image(data, MediaLimits(pixels=59_999))


def test_formats_that_run_programs_are_refused() -> None:
    with pytest.raises(MediaError, match="known are JPEG, PNG"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
