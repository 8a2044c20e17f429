"""Lower plans to the int tables that a packing kernel executes."""

from collections.abc import Sequence

from anyres.plan import Segment, VisualPlan
from kernels.pack.columns import END_CODES, REDUCE_CODES
from kernels.pack.table import PackTable


def lower(plans: Sequence[VisualPlan]) -> PackTable:
    """Return the table of a batch: tiles of all plans one after the other, tokens of all plans one after the other."""
    rows: list[list[int]] = []
    counts: list[int] = []
    src = dst = 0
    for plan in plans:
        starts = _canvas_starts(plan, src)
        for segment in plan.segments:
            rows.append(_row(plan, segment, starts[segment.canvas], dst))
            counts.append(segment.num_tokens)
            dst += segment.num_tokens
        src += plan.num_tiles * plan.tile.tok**2
    return PackTable.of(rows, counts, num_source=src)


def _canvas_starts(plan: VisualPlan, src: int) -> list[int]:
    starts = []
    for canvas in plan.canvases:
        starts.append(src)
        src += canvas.tiles.area * plan.tile.tok**2
    return starts


def _row(plan: VisualPlan, segment: Segment, src: int, dst: int) -> list[int]:
    cols = plan.canvases[segment.canvas].tiles.w
    end, reduce = END_CODES[segment.end], REDUCE_CODES[segment.reduce]
    close = 0 if segment.closing is None else segment.closing + 1
    return [src, cols, plan.tile.tok, *segment.crop_tok, *segment.out, end, segment.vector, dst, reduce, close]
