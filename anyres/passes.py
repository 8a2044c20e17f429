"""In which order PIL resizes: along rows first, or along columns first. Each pass rounds to 8 bits, so it matters.

Older releases of Pillow always begin with the rows. Newer ones begin with the columns of an image that loses more than
twice as many rows as columns. What the installed one does is found out on a few small images, not by its version.
"""

from functools import cache
from typing import Literal

import numpy as np
from PIL import Image

from anyres.geometry import HW

BICUBIC = Image.Resampling.BICUBIC
# two where newer releases begin with columns, two where just not: a tie, and an image that only loses columns
_PROBES = (
    (HW(18, 57), HW(4, 51)),
    (HW(68, 16), HW(33, 4)),
    (HW(24, 12), HW(6, 3)),
    (HW(32, 37), HW(43, 29)),
)


def columns_first(source: HW, target: HW) -> bool | None:
    """Return whether PIL resizes `source` to `target` along columns first; None where its order is not understood."""
    order = _order()
    if order == "other":
        return None
    return order == "newer" and _more_rows_lost(source, target)


def _more_rows_lost(source: HW, target: HW) -> bool:
    return target.h < source.h and source.h - target.h > 2 * (source.w - target.w)


@cache
def _order() -> Literal["older", "newer", "other"]:
    seen = [_seen(source, target) for source, target in _PROBES]
    if seen == [False] * len(_PROBES):
        return "older"
    return "newer" if seen == [_more_rows_lost(*probe) for probe in _PROBES] else "other"


def _seen(source: HW, target: HW) -> bool | None:
    """Return whether PIL begins with the columns of one image; None if it does neither."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8))
    at_once = image.resize((target.w, target.h), BICUBIC).tobytes()
    rows = image.resize((target.w, source.h), BICUBIC).resize((target.w, target.h), BICUBIC).tobytes()
    columns = image.resize((source.w, target.h), BICUBIC).resize((target.w, target.h), BICUBIC).tobytes()
    return False if at_once == rows else True if at_once == columns else None
