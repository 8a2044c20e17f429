"""Checksums inside picture files are compared: PNG's of every chunk, and those of a TIFF's deflated strips."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyres.decode import image_size, open_image
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.reading import read_picture
from video.reader import open_clip_reader


def picture(width: int = 61, height: int = 47) -> Image.Image:
    noise_HW3 = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise_HW3)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def kind_of(data: bytes) -> str | None:
    try:
        open_image(data)
    except MediaError as error:
        return error.kind
    return None


def chunk(kind: bytes, data: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


def with_idat_sum(wrong: int, *, text_sum: int = 0) -> bytes:
    """Return a PNG of one row whose deflated data are right, whatever the checksums of its chunks are."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00" + bytes(range(6))), wrong)
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"tEXt", b"a\x00b", text_sum) + chunk(b"IEND", b"")


def test_png_sums_that_pil_does_not_compare() -> None:
    assert kind_of(with_idat_sum(0)) is None
    # PIL shows both
    with Image.open(io.BytesIO(with_idat_sum(1, text_sum=1))) as image:
        image.load()
    assert kind_of(with_idat_sum(1)) == "damaged"
    assert kind_of(with_idat_sum(0, text_sum=1)) == "damaged"


def test_png_error_names_file_and_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(with_idat_sum(1))
    for read in (open_image, read_picture):
        with pytest.raises(MediaError, match=r"a\.png: the checksum of its IDAT chunk does not fit") as caught:
            read(str(path))
        assert caught.value.path == str(path)
    # its header is whole, and no pixel is read for its size
    assert image_size(path) == HW(1, 2)


def test_png_opened_by_its_user_is_compared() -> None:
    with Image.open(io.BytesIO(with_idat_sum(1))) as image, pytest.raises(MediaError, match="IDAT"):
        open_image(image)
    with Image.open(io.BytesIO(with_idat_sum(0))) as image:
        assert open_image(image).getpixel((1, 0)) == (3, 4, 5)


def test_png_cut_behind_its_pixels() -> None:
    data = encoded(picture(), "PNG")
    assert kind_of(data + b"behind the end") is None
    for cut in (1, 4, 5, 12, 13):
        assert kind_of(data[:-cut]) == "truncated"


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}], ids=["deflated", "stored"])
def test_every_flip_in_a_png_is_refused(options: dict[str, object]) -> None:
    data = encoded(picture(), "PNG", **options)
    draw = random.Random(5)
    for _ in range(200):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        assert kind_of(bytes(flipped)) is not None


def test_animated_png_is_compared_as_a_clip(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 12), (40 * i, 0, 0)) for i in range(4)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert open_clip_reader(path).read([3]).frames_FHWC[0, 0, 0].tolist() == [120, 0, 0]
    at = data.rindex(b"fdAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    spoilt = bytearray(data)
    spoilt[at + 4 + length] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(MediaError, match="fdAT") as caught:
        open_clip_reader(path)
    assert caught.value.kind == "damaged"


@pytest.mark.parametrize("options", [{}, {"tiffinfo": {278: 9}}, {"tiffinfo": {317: 2}}], ids=["one", "strips", "diff"])
def test_deflated_tiffs(options: dict[str, object], capfd: pytest.CaptureFixture[str]) -> None:
    right = picture()
    data = encoded(right, "TIFF", compression="tiff_adobe_deflate", **options)
    assert np.array_equal(np.asarray(open_image(data)), np.asarray(right))
    with Image.open(io.BytesIO(data)) as image:
        place, length = image.tag_v2[273][-1], image.tag_v2[279][-1]
    draw = random.Random(5)
    for _ in range(60):
        flipped = bytearray(data)
        flipped[place + draw.randrange(length)] ^= 1 << draw.randrange(8)
        assert kind_of(bytes(flipped)) == "damaged"


def test_tiled_tiff_beyond_its_edges(capfd: pytest.CaptureFixture[str]) -> None:
    """A tile of 64x64 for a picture of 61x47: its padding is no damage."""
    padded = np.zeros((64, 64, 3), np.uint8)
    padded[:47, :61] = np.asarray(picture())
    tile = zlib.compress(padded.tobytes())
    tags = {256: 61, 257: 47, 258: (8, 8, 8), 259: 8, 262: 2, 277: 3, 322: 64, 323: 64, 324: 8, 325: len(tile)}
    extra = 8 + len(tile)
    directory = struct.pack("<H", len(tags))
    for tag, value in tags.items():
        several = isinstance(value, tuple)
        directory += struct.pack("<HHII", tag, 3 if several else 4, 3 if several else 1, extra if several else value)
    body = struct.pack("<2sHI", b"II", 42, extra + 6) + tile + struct.pack("<3H", 8, 8, 8)
    data = body + directory + struct.pack("<I", 0)
    assert np.array_equal(np.asarray(open_image(data)), np.asarray(picture()))
    spoilt = bytearray(data)
    spoilt[8 + len(tile) - 1] ^= 1
    assert kind_of(bytes(spoilt)) == "damaged"


def test_other_compressions_of_tiff_are_read() -> None:
    for compression in (None, "tiff_lzw", "packbits"):
        data = encoded(picture(), "TIFF", compression=compression)
        assert np.array_equal(np.asarray(open_image(data)), np.asarray(picture()))
