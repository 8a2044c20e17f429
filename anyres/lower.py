"""Lower plans to the int tables that a packing kernel executes."""

from collections.abc import Sequence

from anyres.plan import Segment, VisualPlan
from kernels.pack.table import END_CODES, PackTable


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
    end = END_CODES[segment.end]
    # the mean of 2x2 is what a bilinear resample to the half gives
    halved = segment.reduce == "average" and segment.crop_tok.size == segment.out.times(2)
    if (segment.reduce != "bilinear" and not halved) or segment.closing is not None:
        raise ValueError(f"lower: {segment} has no kernel yet")
    return [src, cols, plan.tile.tok, *segment.crop_tok, *segment.out, end, segment.vector, dst]
