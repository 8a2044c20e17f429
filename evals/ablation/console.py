"""Tables for a terminal: aligned columns of text. Strings only."""

from __future__ import annotations

from collections.abc import Sequence

from evals.ablation.formats import p_text
from evals.ablation.prices import CellPrice
from evals.ablation.stats import smallest_detectable
from evals.ablation.table import SweepRow


def sweep_text(rows: Sequence[SweepRow]) -> str:
    """Return the table of a sweep, one line a task and setting, a blank line between tasks."""
    head = ("task", "setting", "n", "accuracy", "95 %", "vs base", "p (Holm)", "majority", "blind", "tokens", "failed")
    lines: list[tuple[str, ...]] = []
    for index, row in enumerate(rows):
        if index and rows[index - 1].task != row.task:
            lines.append(())
        lines.append(
            (
                row.task,
                row.setting,
                str(row.n),
                f"{row.accuracy:.3f}",
                f"[{row.low:.3f}, {row.high:.3f}]",
                "" if row.difference is None else f"{row.difference:+.3f}",
                p_text(row.p_holm),
                f"{row.majority:.3f}",
                "-" if row.blind is None else f"{row.blind:.3f}",
                "-" if row.tokens is None else f"{row.tokens:.0f}",
                str(row.failed),
            )
        )
    return aligned(head, lines, left=2)


def price_text(prices: Sequence[CellPrice], tflops: float | None = None, hourly: float | None = None) -> str:
    """Return what a sweep will cost, one line a setting, and the totals with and without sharing; see `reuse_text`."""
    head = (
        "setting", "samples", "shared", "tokens", "median", "p95", "max", "tiles", "new tiles", "encoder", "LLM",
        "to run", "over context",
    )  # fmt: skip
    lines = [
        (
            price.setting,
            f"{price.samples:,}",
            f"{price.shared:,}",
            f"{price.tokens_mean:,.1f}",
            f"{price.tokens_median:,.0f}",
            f"{price.tokens_p95:,.0f}",
            f"{price.tokens_max:,}",
            f"{price.tiles:,}",
            f"{price.new_tiles:,}",
            flops_text(price.encoder_flops),
            flops_text(price.llm_flops),
            flops_text(price.flops_to_run),
            f"{price.over_context:,}",
        )
        for price in prices
    ]
    n = min(price.samples for price in prices)
    return f"{aligned(head, lines, left=1)}\n\n{reuse_text(prices, tflops, hourly)}\n{_power_text(n)}"


def reuse_text(prices: Sequence[CellPrice], tflops: float | None = None, hourly: float | None = None) -> str:
    """Return what the points of a sweep have in common: asked for on their own, and left to do when shared.

    tflops: what the device sustains, in 10^12 FLOPs a second, for an estimate of time; None: no estimate.
    hourly: what an hour of it costs.
    """
    asked = sum(price.samples for price in prices)
    naive, needed = sum(price.flops for price in prices), sum(price.flops_to_run for price in prices)
    rows = [
        ("prompts answered", asked, asked - sum(price.shared for price in prices)),
        ("tiles encoded", sum(price.tiles for price in prices), sum(price.new_tiles for price in prices)),
        ("positions read", sum(price.positions for price in prices), sum(price.new_positions for price in prices)),
    ]
    lines = [(name, f"{each:,}", f"{shared:,}", _share(shared, each)) for name, each, shared in rows]
    lines.append(("FLOPs", flops_text(naive), flops_text(needed), _share(needed, naive)))
    if tflops is not None:
        seconds = [flops / (tflops * 1e12) for flops in (naive, needed)]
        lines.append((f"time at {tflops:g} TFLOP/s", *map(_duration, seconds), _share(seconds[1], seconds[0])))
        if hourly is not None:
            paid = [hourly * second / 3600 for second in seconds]
            lines.append((f"price at {hourly:g} an hour", *(f"{one:,.3g}" for one in paid), _share(paid[1], paid[0])))
    kept = sum(price.feature_bytes for price in prices)
    graph = aligned(("reuse", "each on its own", "shared", ""), lines, left=1)
    return f"{graph}\nfeatures kept with cache_folder=...: {kept / (1 << 20):,.1f} MiB"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def flops_text(flops: float) -> str:
    """Return FLOPs with the prefix that leaves 1 to 999: "1.75 TFLOP"."""
    value, units = float(flops), ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Return lines of columns, the first `left` flush left and the others right; an empty row is an empty line."""
    full = [head, *(row for row in rows if row)]
    widths = [max(len(row[column]) for row in full) for column in range(len(head))]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([_line(head, widths, left), rule, *(_line(row, widths, left) for row in rows)])


def _power_text(n: int) -> str:
    if n < 30:
        return f"n = {n}: prices only, too few samples to compare settings"
    few, many = (f"{100 * smallest_detectable(n, share):.1f}" for share in (0.1, 0.2))
    return (
        f"with n = {n:,} a true difference of {few} points shows with 80 % power where two settings disagree on 10 % "
        f"of the samples, {many} points where they disagree on 20 %"
    )


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = [
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=False))
    ]
    return "  ".join(cells).rstrip()
