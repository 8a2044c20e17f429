"""Turn the rows of a sweep into the blocks of its report: the finding in words, the figures, the tables, the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from evals.ablation.analysis import Analysis, Front
from evals.ablation.formats import both, number, p_text
from evals.ablation.report import Block, Definitions, Figures, Folded, Paragraph, Section, Table
from evals.ablation.rows import is_sum, overall
from evals.ablation.strata import Split, Stratum
from evals.ablation.table import SweepRow

HEAD = (
    "task", "setting", "n", "accuracy [95 %]", "difference [95 %]", "p (Holm)", "+/-", "MDE", "majority", "blind",
    "unp./fail",
)  # fmt: skip
COST_HEAD = (
    "setting", "tokens", "median", "p95", "tiles", "enc. GFLOP", "LLM GFLOP", "TTFT p50/p95", "latency p50/p95",
    "samples/s", "peak MiB", "features MiB",
)  # fmt: skip
PAIR_HEAD = ("setting", "against", "difference [95 %]", "p (BH)", "+/-", "same within margin, p (BH)")
# a longer table is folded
MOST_ROWS = 30
# more steps than this are a list that nobody reads
MOST_STEPS = 6
COST_WORDS = {"tokens": "visual tokens", "tflops": "FLOPs", "latency": "latency"}


def finding(rows: Sequence[SweepRow]) -> str:
    """Return the sweep in a few sentences with intervals and p values; a sentence a set where samples differ."""
    pooled = overall(rows)
    groups: dict[str, list[SweepRow]] = {}
    for row in pooled:
        groups.setdefault(row.baseline, []).append(row)
    if len(groups) > 1:
        return " ".join(_side_by_side(group) for group in groups.values())
    words = [f"Over all tasks {_share(pooled[0])} at {pooled[0].setting}{_tokens(pooled[0])}."]
    best = max(pooled, key=lambda row: row.accuracy)
    if best.difference is not None:
        gain = f"against {best.baseline} {_gain(best)}"
        share = _share(best).removesuffix(" are right")
        words.append(f"The best setting is {best.setting}{_tokens(best)} with {share}: {gain}.")
    else:
        others = [f"{row.setting} {_gain(row)}" for row in pooled if row.difference is not None]
        words.append(f"No setting does better; against it, {'; '.join(others)}." if others else "")
        return " ".join(words).strip()
    steps = [(a, b) for a, b in pairwise(pooled) if b.step is not None and b.step_p is not None]
    if 1 < len(steps) < MOST_STEPS:
        told = "; ".join(f"{a.setting} to {b.setting} {_points(b.step)} (p {_p(b.step_p)})" for a, b in steps)
        words.append(f"Step by step, in points: {told}.")
    return " ".join(words)


def cards(rows: Sequence[SweepRow], fronts: Sequence[Front] = (), most: int = 6) -> Figures:
    """Return the accuracy over all tasks as large numbers: of every setting, or with many of those that stand out."""
    shown = overall(rows)
    if len(shown) <= most:
        return Figures(items=tuple((_large(row), f"{row.setting}{_tokens(row, ', ')}") for row in shown))
    apart = [row for row in shown if row.difference is None]
    if len(apart) > 1:
        return Figures(items=tuple((_large(row), f"{row.setting}{_tokens(row, ', ')}") for row in apart[:most]))
    best = max(shown, key=lambda row: row.accuracy)
    told = [(apart[0], "baseline"), (best, "best")]
    for front in fronts:
        if front.cost == "tokens" and front.cheapest is not None:
            word = f"fewest tokens within {100 * front.margin:g} points of it"
            told.append((next(row for row in shown if row.setting == front.cheapest), word))
    return Figures(items=tuple((_large(row), f"{word}: {row.setting}{_tokens(row, ', ')}") for row, word in told))


def scores_block(rows: Sequence[SweepRow]) -> list[Block]:
    """Return the rows that sum up as a table, and those of each task, folded when they are many."""
    caption = "Each difference is to the row marked baseline that has the same samples. Press a heading to sort."
    pooled = overall(rows)
    single = [row for row in rows if row.task != pooled[0].task]
    if not single or len(rows) <= MOST_ROWS:
        return [table_block(rows, caption)]
    folded = Folded(title=f"Scores of each task ({len(single)} rows)", blocks=(table_block(single, ""),))
    return [table_block(pooled, caption), folded]


def table_block(rows: Sequence[SweepRow], caption: str) -> Table:
    """Return the scores of the table as a block; the rows that sum up come first and are set off."""
    names = dict.fromkeys([row.task for row in overall(rows)] + [row.task for row in rows])
    rows = [row for name in names for row in rows if row.task == name]
    strong = frozenset(index for index, row in enumerate(rows) if is_sum(row.task))
    rules = frozenset(index for index, row in enumerate(rows) if index and rows[index - 1].task != row.task)
    cells = tuple(map(_cells, rows))
    return Table(
        head=HEAD, rows=cells, caption=caption, left=2, strong=strong, rules=rules, signed=frozenset({4}), name="Scores"
    )


def cost_block(rows: Sequence[SweepRow]) -> Table:
    """Return what each setting costs a sample, as a block."""
    return Table(
        head=COST_HEAD,
        rows=tuple(map(_cost_cells, overall(rows))),
        caption="What a sample costs, measured. Times (ms) and samples/s: of a few samples, alone and with nothing shared.",
        name="Costs",
    )


def fronts_text(fronts: Sequence[Front]) -> list[Paragraph]:
    """Return which settings are worth their cost, in a sentence or two a cost."""
    return [Paragraph(text=_front_text(front)) for front in fronts]


def pairs_block(analysis: Analysis) -> list[Block]:
    """Return every setting against every other one, folded; nothing where there is only one pair."""
    if len(analysis.pairs) < 2:
        return []
    margin = 100 * analysis.pairs[0].margin
    rows = tuple(
        (
            pair.new,
            pair.base,
            f"{pair.difference:+.3f} [{pair.low:+.3f}, {pair.high:+.3f}]",
            p_text(pair.p_bh),
            f"{pair.wins}/{pair.losses}",
            p_text(pair.p_equal),
        )
        for pair in analysis.pairs
    )
    caption = (
        "Adjusted by Benjamini and Hochberg's method over all pairs. The last column tests whether two settings are "
        f"less than {margin:g} points apart: only a small value there says that they are equal."
    )
    table = Table(head=PAIR_HEAD, rows=rows, caption=caption, left=2, signed=frozenset({2}), name="All pairs")
    return [Folded(title=f"Every setting against every other ({len(rows)} pairs)", blocks=(table,))]


def strata_block(split: Split, rows: Sequence[Stratum]) -> Folded:
    """Return the numbers of a split of the samples, folded."""
    head = ("part", "setting", "n", "accuracy [95 %]", "difference [95 %]", "p (Holm)")
    table = Table(
        head=head,
        rows=tuple(map(_stratum_cells, rows)),
        left=2,
        rules=frozenset(index for index, row in enumerate(rows) if index and rows[index - 1].part != row.part),
        signed=frozenset({4}),
        name=f"By {split.dimension}",
    )
    return Folded(title=f"Numbers by {split.dimension}", blocks=(table,))


def notes(rows: Sequence[SweepRow], more: Mapping[str, Sequence[str]]) -> list[Block]:
    """Return what a reader must know before believing the numbers; `more` holds each setting's own notes."""
    found: list[str] = []
    poor = [row for row in rows if row.low <= row.majority and not is_sum(row.task)]
    if poor:
        settings: dict[str, list[str]] = {}
        for row in poor:
            settings.setdefault(row.task, []).append(row.setting)
        count = len({row.setting for row in rows})
        named = "; ".join(
            f"{task} at {', '.join(where) if len(where) < count else 'every setting'}"
            for task, where in settings.items()
        )
        found.append(f"Not above the majority baseline (the interval reaches it): {named}.")
    small = min((row.n for row in rows), default=0)
    if small:
        found.append(f"The smallest row has n = {small}; read the intervals, not the third digit.")
    found += [f"{setting}: {note}." for setting, own in more.items() for note in own]
    return [Paragraph(text=text, kind="note") for text in found]


def how_to_read() -> Section:
    """Return the definitions of every column."""
    return Section(title="How to read the tables", blocks=(Definitions(items=DEFINITIONS),))


DEFINITIONS = {
    "accuracy [95 %]": "The mean score over all n samples; failed and unparsed ones count as wrong. Wilson's interval; "
    "for the mean over tasks at the effective sample size of its clustered standard error.",
    "mean": "The unweighted mean over the tasks.",
    "difference [95 %]": "Accuracy minus the baseline setting's, on the same samples, with a t interval from the "
    "standard error clustered by image or clip. Coloured where the interval excludes 0.",
    "p (Holm)": "Two-sided paired test against the baseline: McNemar's mid-p for one task, a clustered t test for "
    "means. Adjusted by Holm's method over all single tasks, and separately over the rows that sum up.",
    "+/-": "Samples on which only this setting, or only the baseline, is right (or scores more).",
    "MDE": "The smallest true difference that these samples show with 80 % power: 2.8 clustered standard errors. A "
    "smaller one may be real and not seen.",
    "same within margin": "Two one-sided t tests that two settings differ by less than the margin. Only this supports "
    "'no loss'; a large p of a difference does not.",
    "majority": "The accuracy of always giving the commonest right answer of the task.",
    "blind": "The accuracy when every question is asked with another sample's picture or clip.",
    "tokens": "Visual tokens a sample, measured in the sequence that the language model read: mean, median, 95th "
    "percentile.",
    "GFLOP": "Of one sample, from its measured lengths, as if nothing were shared: the encoder; projector and prefill.",
    "TTFT, latency": "Wall time of a sample answered alone, decoding of media apart and nothing shared, to its first "
    "token and to its last: of a few samples a setting, evenly spread, after one that warms up.",
    "features MiB": "The encoder's features of one sample on a disk, in the model's own dtype.",
    "unp./fail": "Answers in which nothing could be read; samples whose picture or clip could not be.",
}


def _cells(row: SweepRow) -> tuple[str, ...]:
    return (
        row.task,
        row.setting,
        str(row.n),
        f"{row.accuracy:.3f} [{row.low:.3f}, {row.high:.3f}]",
        _difference(row.difference, row.difference_low, row.difference_high),
        p_text(row.p_holm),
        "" if row.difference is None else f"{row.wins}/{row.losses}",
        number(row.mde, "{:.3f}", ""),
        f"{row.majority:.3f}",
        number(row.blind, "{:.3f}"),
        f"{row.unparsed}/{row.failed}",
    )


def _cost_cells(row: SweepRow) -> tuple[str, ...]:
    return (
        row.setting,
        number(row.tokens, "{:,.1f}"),
        number(row.tokens_median, "{:,.0f}"),
        number(row.tokens_p95, "{:,.0f}"),
        number(row.tiles, "{:.1f}"),
        number(row.encoder_tflops, "{:,.3g}", scale=1000),
        number(row.llm_tflops, "{:,.3g}", scale=1000),
        both(row.ttft_p50, row.ttft_p95),
        both(row.latency_p50, row.latency_p95),
        number(row.samples_per_second, "{:.3g}"),
        number(row.peak_mib, "{:,.0f}"),
        number(row.features_mib, "{:.3g}"),
    )


def _stratum_cells(row: Stratum) -> tuple[str, ...]:
    return (
        row.part,
        row.setting,
        str(row.n),
        f"{row.accuracy:.3f} [{number(row.low, '{:.3f}')}, {number(row.high, '{:.3f}')}]",
        _difference(row.difference, row.difference_low, row.difference_high),
        p_text(row.p_holm),
    )


def _difference(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "baseline"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _front_text(front: Front) -> str:
    margin = f"{100 * front.margin:g} {'point' if front.margin == 0.01 else 'points'}"
    words = [f"By {COST_WORDS[front.cost]}: on the front {_list(front.front)}."]
    if set(front.statistical) != set(front.front) and len(front.statistical) <= MOST_STEPS:
        words.append(f"Not shown to be matched within {margin} by a cheaper one: {_list(front.statistical)}.")
    if front.knee is not None:
        words.append(f"The front bends most at {front.knee}.")
    if front.cheapest is not None:
        words.append(
            f"The cheapest setting shown to be within {margin} of the best ({front.best}) is {front.cheapest}, "
            f"p {_p(front.p)}."
        )
    else:
        words.append(f"No cheaper setting is shown to be within {margin} of the best, {front.best}.")
    return " ".join(words)


def _list(names: Sequence[str]) -> str:
    return "; ".join(names)


def _side_by_side(rows: Sequence[SweepRow]) -> str:
    first, *others = rows
    told = "".join(f"; {row.setting} {_gain(row)}" for row in others)
    return f"{first.setting}{_tokens(first)}: {_share(first)}{told}."


def _gain(row: SweepRow) -> str:
    low, high = _points(row.difference_low), _points(row.difference_high)
    return f"{_points(row.difference)} points [{low}, {high}], p {_p(row.p_holm)}"


def _share(row: SweepRow) -> str:
    return f"{100 * row.accuracy:.1f} % [{100 * row.low:.1f}, {100 * row.high:.1f}] are right"


def _large(row: SweepRow) -> str:
    return f"{100 * row.accuracy:.1f}%"


def _tokens(row: SweepRow, before: str = " (") -> str:
    after = ")" if before == " (" else ""
    return "" if row.tokens is None else f"{before}{row.tokens:.0f} tokens{after}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _p(value: float | None) -> str:
    text = p_text(value)
    return text if text.startswith("<") else f"= {text}"
