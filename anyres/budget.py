"""A budget of visual tokens for a whole prompt: several images share it. Integers only, no torch.

Every image gets the same cap on its detail map, the largest one under which all of them fit: small images keep what
they have, large ones give first. Overviews, and views that are not tiled, are never lowered.
"""

from collections.abc import Sequence
from dataclasses import replace

from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.plan import VisualPlan, plan_image


def fit_images(sizes: Sequence[HW], grid: GridSpec, tile: TileSpec, budget: int) -> tuple[VisualPlan, ...]:
    """Return a plan for each image, together at most `budget` tokens, row ends and overviews included.

    sizes: in pixels, EXIF orientation applied. Images that fit as they are get the grid's own plans. Otherwise all
    get the largest common cap that fits, as a hard target (slack 1.0): on tokens of the detail map under the released
    rule, on tokens of the image under the blog's. An image whose own plan is within the cap keeps it. Layouts, and so
    the tiles to encode, stay as they are. The same sizes always get the same plans.

    Raises ValueError naming the smallest total that is possible when that exceeds the budget, and as plan_image does.
    """
    own = tuple(plan_image(size, grid, tile) for size in sizes)
    if _total(own) <= budget:
        return own
    smallest = _capped(own, sizes, grid, 1)
    if _total(smallest) > budget:
        raise ValueError(
            f"budget of {budget:,} tokens for {len(own)} images: the smallest total possible is "
            f"{_total(smallest):,} ({_total(own):,} without a budget)"
        )
    # the total grows with the cap: `fits` always fits, `exceeds` never
    fits, exceeds, plans = 1, max(_counted(plan, grid) for plan in own), smallest
    while exceeds - fits > 1:
        cap = (fits + exceeds) // 2
        tried = _capped(own, sizes, grid, cap)
        if _total(tried) <= budget:
            fits, plans = cap, tried
        else:
            exceeds = cap
    return plans


def _capped(own: Sequence[VisualPlan], sizes: Sequence[HW], grid: GridSpec, cap: int) -> tuple[VisualPlan, ...]:
    if not _can_shrink(grid):
        return tuple(own)
    return tuple(_cap(plan, size, grid, cap) for plan, size in zip(own, sizes, strict=True))


def _cap(own: VisualPlan, size: HW, grid: GridSpec, cap: int) -> VisualPlan:
    # the blog's rule needs a token for every view
    cap = max(cap, own.num_tiles) if grid.rule == "blog" else cap
    if _counted(own, grid) <= cap:
        return own
    return plan_image(size, replace(grid, target_tiles=None, target_tok=cap, slack=1.0), own.tile)


def _can_shrink(grid: GridSpec) -> bool:
    if not grid.layouts or grid.merge == "spatial_maxpool2x2":
        return False
    # under the released rule only a merged map is resampled
    return grid.rule == "blog" or grid.merge != "flat"


def _counted(plan: VisualPlan, grid: GridSpec) -> int:
    """Return the tokens that a cap speaks of: of the whole image, or of its detail map without row ends."""
    if grid.rule == "blog":
        return plan.num_tokens
    detail = len(plan.canvases) - 1
    return sum(segment.out.area for segment in plan.segments if segment.canvas == detail)


def _total(plans: Sequence[VisualPlan]) -> int:
    return sum(plan.num_tokens for plan in plans)
