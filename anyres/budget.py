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
    return fit_mixed(sizes, [grid] * len(sizes), tile, budget)


def fit_mixed(sizes: Sequence[HW], grids: Sequence[GridSpec], tile: TileSpec, budget: int) -> tuple[VisualPlan, ...]:
    """Return what `fit_images` does for images that each have a grid of their own; the cap is one for all of them."""
    own = tuple(plan_image(size, grid, tile) for size, grid in zip(sizes, grids, strict=True))
    if _total(own) <= budget:
        return own
    smallest = _capped(own, sizes, grids, 1)
    if _total(smallest) > budget:
        raise ValueError(
            f"budget of {budget:,} tokens for {len(own)} images: the smallest total possible is "
            f"{_total(smallest):,} ({_total(own):,} without a budget)"
        )
    # the total grows with the cap: `fits` always fits, `exceeds` never
    fits, exceeds, plans = 1, max(map(_counted, own, grids)), smallest
    while exceeds - fits > 1:
        cap = (fits + exceeds) // 2
        tried = _capped(own, sizes, grids, cap)
        if _total(tried) <= budget:
            fits, plans = cap, tried
        else:
            exceeds = cap
    return plans


def _capped(
    own: Sequence[VisualPlan], sizes: Sequence[HW], grids: Sequence[GridSpec], cap: int
) -> tuple[VisualPlan, ...]:
    return tuple(
        _cap(plan, size, grid, cap) if _can_shrink(grid) else plan
        for plan, size, grid in zip(own, sizes, grids, strict=True)
    )


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
