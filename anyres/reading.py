"""Read image files as fast as a pixel mode allows: by PIL, by torchvision's decoder, or at a reduced scale.

Every way applies the rules of anyres.decode: limits, orientation, transparency, errors. What the fast ways do not
cover, PIL reads.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anyres.checksums import check_file
from anyres.decode import Source, image_size, open_image, opened, orientation
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits
from anyres.local import open_local
from anyres.picture import Picture, PixelMode, check_mode

_JPEG = b"\xff\xd8\xff"


def read_picture(
    source: Source, mode: PixelMode = "exact", needed: Callable[[HW], HW] | None = None, limits: MediaLimits = LIMITS
) -> Picture:
    """Return an image file's upright RGB pixels, and the size that it is planned by.

    mode: "exact" is read by PIL. "fast" reads a plain JPEG by torchvision, whose pixels are PIL's as long as both bring
    JPEG libraries that compute alike. "draft" decodes a JPEG at the smallest of 1, 1/2, 1/4 and 1/8 of its size that
    still has the pixels that `needed` says for its upright size; without `needed` it reads it whole. Raises MediaError
    as `open_image` does.
    """
    check_mode(mode)
    if isinstance(source, str | Path):
        # the ways below read the bytes of a file
        check_file(source, limits)
    if mode == "fast" and (pixels_HW3 := _by_torchvision(source, limits)) is not None:
        return Picture(pixels=pixels_HW3, size=HW(*pixels_HW3.shape[:2]))
    if mode == "draft" and needed is not None and (picture := _reduced(source, needed, limits)) is not None:
        return picture
    image = open_image(source, limits)
    return Picture(pixels=image, size=HW(image.height, image.width))


def _by_torchvision(source: Source, limits: MediaLimits) -> NDArray[np.uint8] | None:
    """Return the pixels of a plain JPEG that lies upright; None for anything else, a damaged one too."""
    data = _jpeg_bytes(source, limits)
    if data is None:
        return None
    try:
        with opened(data, "<bytes>", limits) as header:
            # a progressive one may hide far more work than its pixels: open_image counts it
            plain = header.mode == "RGB" and "progressive" not in header.info and orientation(header) == 1
    except MediaError:
        # of a file, the error names it
        return None
    try:
        return _decoded(data) if plain else None
    except RuntimeError:
        # PIL says what is wrong with it
        return None


def _decoded(data: bytes) -> NDArray[np.uint8]:
    # torch is loaded on first use: processes that only decode need none
    import torch
    from torchvision.io import decode_jpeg

    # a view of what was decoded: its channels come last
    return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8)).permute(1, 2, 0).numpy()


def _reduced(source: Source, needed: Callable[[HW], HW], limits: MediaLimits) -> Picture | None:
    """Return a JPEG decoded at a reduced scale; None for anything else, a damaged one too."""
    data = _jpeg_bytes(source, limits)
    if data is None:
        return None
    try:
        size = image_size(data, limits)
    except MediaError:
        return None
    least = needed(size)
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        if image.mode != "RGB":
            return None
        stored = least.transposed if orientation(image) >= 5 else least
        image.draft("RGB", (stored.w, stored.h))
        try:
            return Picture(pixels=open_image(image, limits), size=size)
        except MediaError:
            # read whole, the error names the file
            return None


def _jpeg_bytes(source: Source, limits: MediaLimits) -> bytes | None:
    """Return the bytes of a JPEG within the limits; None for any other source."""
    if isinstance(source, bytes):
        return source if source.startswith(_JPEG) else None
    if not isinstance(source, str | Path):
        return None
    with open_local(source) as file:
        length = os.fstat(file.fileno()).st_size
        if limits.image_bytes is not None and length > limits.image_bytes:
            return None
        return file.read() if file.read(len(_JPEG)) == _JPEG and file.seek(0) == 0 else None
