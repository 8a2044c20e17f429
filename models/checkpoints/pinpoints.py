"""Lists of canvas sizes in pixels, as checkpoints hold them, and the grids that they mean."""

import re
from collections.abc import Sequence

from anyres.geometry import HW
from anyres.grid import GridSpec, Order

RANGE_TILES_PX = (224, 336, 384, 448, 512)


def layouts(pinpoints: Sequence[Sequence[int]] | str, tile_px: int, where: str) -> tuple[HW, ...]:
    """Return the grids (rows, cols) of a list of (width, height) canvases, in its order.

    A string is either such a list or a range "(1x1),...,(6x6)", of which the first and last pair count, columns outer.
    Raises ValueError naming `where` and the entry that is no multiple of the tile.
    """
    if isinstance(pinpoints, str):
        return _ranged(pinpoints, tile_px, where)
    found = []
    for number, entry in enumerate(pinpoints):
        pair = list(entry) if isinstance(entry, (list, tuple)) else []
        if len(pair) != 2 or any(not isinstance(side, int) or side < tile_px or side % tile_px for side in pair):
            raise ValueError(f"{where}[{number}]: expected two multiples of the tile's {tile_px} pixels, got {entry!r}")
        found.append(HW(pair[1] // tile_px, pair[0] // tile_px))
    return tuple(found)


def pinpoints(grids: Sequence[HW], tile_px: int) -> list[list[int]]:
    """Return the list of (width, height) canvases of grids (rows, cols), in their order."""
    return [[grid.w * tile_px, grid.h * tile_px] for grid in grids]


def transformers_layouts(raw: Sequence[Sequence[int]], tile_px: int, where: str) -> tuple[tuple[HW, ...], Order]:
    """Return the grids and the tie order that make transformers' reading of a list, as (height, width).

    A list that holds the transpose of each entry keeps its numbers, with the order "transformers"; another one is
    turned, since only then the same grids come out.
    """
    as_released = layouts(raw, tile_px, where)
    turned = tuple(grid.transposed for grid in as_released)
    return (as_released, "transformers") if set(turned) == set(as_released) else (turned, "released")


def transformers_pinpoints(grid: GridSpec, tile_px: int) -> list[list[int]]:
    """Return the list that makes transformers choose among the grids of `grid`, with its numbers where it is closed."""
    turned = tuple(layout.transposed for layout in grid.layouts)
    return pinpoints(grid.layouts if set(turned) == set(grid.layouts) else turned, tile_px)


def _ranged(text: str, tile_px: int, where: str) -> tuple[HW, ...]:
    pairs = [(int(cols), int(rows)) for cols, rows in re.findall(r"\((\d+)x(\d+)\)", text)]
    if not pairs:
        raise ValueError(f"{where}: expected a list or a range such as '(1x1),...,(6x6)', got {text!r}")
    if tile_px not in RANGE_TILES_PX:
        raise ValueError(f"{where}: a range needs a tile of {RANGE_TILES_PX} pixels, the encoder's has {tile_px}")
    (first_cols, first_rows), (last_cols, last_rows) = pairs[0], pairs[-1]
    cols, rows = range(first_cols, last_cols + 1), range(first_rows, last_rows + 1)
    return tuple(HW(row, col) for col in cols for row in rows)
