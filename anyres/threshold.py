"""Shrinking a map of tokens towards a target: the released rule and the blog's rule."""

from math import isqrt, sqrt

from anyres.geometry import HW
from anyres.grid import TileSpec


def shrink_released(kept: HW, target_tok: int, slack: float, at_least_one: bool) -> HW:
    """Return the size of the merged map after bilinear thresholding: unchanged while sqrt(area / target) <= slack.

    With slack 1.0 the result never exceeds the target (hard cap on the map; row ends and overview come on top).
    """
    times = sqrt(kept.area / target_tok)
    if times <= slack:
        return kept
    out = HW(int(kept.h // times), int(kept.w // times))
    return _fit_thin(out, kept, target_tok) if at_least_one else out


def tokens_per_side_blog(layout: HW, tile: TileSpec, target_tok: int) -> int:
    """Return the tokens a side of every view under T_new = target / (rows * cols + 1), rounded down.

    Raises ValueError when the target leaves less than one token for a view.
    """
    views = layout.area + 1
    if views * tile.tok**2 <= target_tok:
        return tile.tok
    side = isqrt(target_tok // views)
    if side < 1:
        raise ValueError(f"target of {target_tok} tokens leaves none for each of {views} views")
    return side


def _fit_thin(out: HW, kept: HW, target_tok: int) -> HW:
    # one side would round to 0: keep 1 there and let the other side take what the target allows
    if out.h < 1:
        return HW(1, max(1, min(kept.w, target_tok)))
    if out.w < 1:
        return HW(max(1, min(kept.h, target_tok)), 1)
    return out
