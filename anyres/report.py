"""Plans as rows: the JSON objects and the table of anyres-plan."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any, Protocol

from anyres.cost import Price
from anyres.geometry import HW
from anyres.plan import Segment, VisualPlan

Row = dict[str, Any]

# columns of wrapped text
WIDTH = 110

_COUNTS = ("encoded", "cropped", "resampled", "row ends", "tokens")
_HEAD = ("input", "size", "grid", "tiles", *_COUNTS, "context", "RoPE", "FLOPs")


class ParameterCounts(Protocol):
    """What a report says of a model's size; models.parameters.Parameters has it. None: not known."""

    @property
    def encoder(self) -> int | None:
        """Return the vision tower's."""
        ...

    @property
    def projector(self) -> int:
        """Return the projector's."""
        ...

    @property
    def llm(self) -> int | None:
        """Return the language model's."""
        ...

    @property
    def total(self) -> int | None:
        """Return all of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMedium:
    """One input of anyres-plan, planned and priced.

    size: pixels as shown. detail: index of the canvas that a layout filled, None for overview only and for clips.
    clip: what a clip's row says beyond an image's: frames, frame_indices, tokens_per_frame, its header.
    """

    name: str
    size: HW
    plan: VisualPlan
    price: Price
    rope_factor: float
    detail: int | None = None
    clip: Mapping[str, Any] | None = None


def json_row(medium: PlannedMedium) -> Row:
    """Return an input's plan as one flat JSON object: layout, tokens step by step, and price.

    Rows and columns are tokens, widths and heights pixels. grid, resized, pad, kept and out describe the detail canvas;
    without one they describe the overview (or a clip's first frame), with a grid of 0 x 0.
    """
    kind = "image" if medium.clip is None else "video"
    row: Row = {"name": medium.name, "kind": kind, "width": medium.size.w, "height": medium.size.h}
    row |= dict(medium.clip or {}) | _layout(medium)
    row |= {"tiles": medium.plan.num_tiles, **token_steps(medium.plan), "rope_factor": medium.rope_factor}
    price = asdict(medium.price)
    return row | {key: price[key] for key in price if key not in ("tiles", "visual_tokens")}


def token_steps(plan: VisualPlan) -> dict[str, int]:
    """Return the tokens that are encoded, kept after cropping, left after resampling, added as row ends, and all."""
    return {
        "tokens_encoded": plan.num_tiles * plan.tile.tok**2,
        "tokens_kept": sum(segment.crop_tok.size.area for segment in plan.segments),
        "tokens_resampled": plan.num_tokens - plan.num_ends,
        "row_ends": plan.num_ends,
        "tokens": plan.num_tokens,
    }


def table(media: Sequence[PlannedMedium]) -> str:
    """Return the inputs as aligned text, a line each.

    encoded: tokens before padding is removed; cropped: after; resampled: after a target or pooling; tokens: what the
    language model reads, row ends included.
    """
    rows = [_HEAD, *(_cells(medium) for medium in media)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return "\n".join("  ".join(_aligned(cell, i, widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows)


def parameters_line(counts: ParameterCounts) -> str:
    """Return the parameters of encoder, projector, language model and of all, on one line."""
    parts = {"encoder": counts.encoder, "projector": counts.projector, "language model": counts.llm}
    told = [f"{name} {'not counted' if number is None else f'{number:,}'}" for name, number in parts.items()]
    total = "" if counts.total is None else f"; {counts.total:,} together"
    return f"parameters: {', '.join(told)}{total}"


def notes_list(notes: Mapping[str, str]) -> str:
    """Return notes by topic as an indented list, wrapped."""
    lines = (f"  {topic}: {note}" for topic, note in notes.items())
    return "\n".join(fill(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False) for line in lines)


def _cells(medium: PlannedMedium) -> tuple[str, ...]:
    steps = token_steps(medium.plan)
    if medium.clip is not None:
        grid = f"{medium.clip['frames']} frames"
    elif medium.detail is None:
        grid = "none"
    else:
        tiles = medium.plan.canvases[medium.detail].tiles
        grid = f"{tiles.h} x {tiles.w}"
    return (
        medium.name,
        f"{medium.size.w}x{medium.size.h}",
        grid,
        str(medium.plan.num_tiles),
        *(f"{count:,}" for count in steps.values()),
        f"{100 * medium.price.context_share:.1f}%",
        f"x{medium.rope_factor:g}",
        _with_unit(medium.price.flops),
    )


def _with_unit(flops: int) -> str:
    scale, unit = next(((10**e, u) for e, u in ((12, "T"), (9, "G"), (6, "M")) if flops >= 10**e), (1, ""))
    return f"{flops / scale:.3g} {unit}".rstrip() if flops < 10**15 else f"{flops / scale:,.0f} {unit}"


def _aligned(cell: str, column: int, width: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)


def _layout(medium: PlannedMedium) -> Row:
    plan = medium.plan
    index = 0 if medium.detail is None else medium.detail
    grid = HW(0, 0) if medium.detail is None else plan.canvases[index].tiles
    content = plan.canvases[index].content_px
    kept, out = _extents([segment for segment in plan.segments if segment.canvas == index])
    return {
        "grid_rows": grid.h,
        "grid_cols": grid.w,
        "resized_width": content.w,
        "resized_height": content.h,
        "pad_left": content.x,
        "pad_top": content.y,
        "kept_rows": kept.h,
        "kept_cols": kept.w,
        "out_rows": out.h,
        "out_cols": out.w,
    }


def _extents(segments: Sequence[Segment]) -> tuple[HW, HW]:
    # a canvas is one segment, or one for each tile: then a column of tiles gives the rows and a row the columns
    column = [segment for segment in segments if segment.crop_tok.x == segments[0].crop_tok.x]
    row = [segment for segment in segments if segment.crop_tok.y == segments[0].crop_tok.y]
    kept = HW(sum(s.crop_tok.h for s in column), sum(s.crop_tok.w for s in row))
    return kept, HW(sum(s.out.h for s in column), sum(s.out.w for s in row))
