"""Price a sweep before it runs: tokens, tiles and FLOPs of every point, and what is left once equal work is done once.

Integers only, from the plans of evals.ablation.planner.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from anyres.cost import encoder_flops, prefill_flops, projector_flops
from evals.ablation.planner import PlannedMedium, Planner, Setting, SizedSample, pixels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """A setting and the samples that it is asked."""

    setting: Setting
    samples: tuple[SizedSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPrice:
    """What one point costs. Tokens are visual tokens a sample; FLOPs are of all samples together.

    shared: samples whose plan an earlier point has too, so their answer is known. new_tiles: tiles that no earlier
    point encodes. positions, new_positions: what prompts of their own have, and what is read where the beginning that
    an earlier point or question has in common is not read again. flops: every sample on its own, as published tables
    count. flops_to_run: only what is new here. feature_bytes: of the new tiles' features, in the model's dtype.
    over_context: samples whose positions exceed the trained context times the RoPE factor.
    """

    setting: str
    samples: int
    shared: int
    tokens_mean: float
    tokens_median: float
    tokens_p95: float
    tokens_max: int
    tiles: int
    new_tiles: int
    encoder_flops: int
    llm_flops: int
    flops_to_run: int
    over_context: int
    positions: int = 0
    new_positions: int = 0
    feature_bytes: int = 0

    @property
    def flops(self) -> int:
        """Return the FLOPs of encoder, projector and prefill, nothing shared."""
        return self.encoder_flops + self.llm_flops


def price_sweep(points: Sequence[PricePoint]) -> tuple[CellPrice, ...]:
    """Return the price of each point in order, earlier ones paying for what later ones share.

    Raises ValueError for a point without samples.
    """
    state = _Priced(planner=Planner())
    return tuple(_price_cell(point, state) for point in points)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie, linear between neighbours; ValueError without values."""
    if not values:
        raise ValueError("percentile of no values")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    lower = int(position)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (position - lower) * (ordered[upper] - ordered[lower])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Priced:
    """What earlier points pay for: answers, tiles, and beginnings that were read, by everything they depend on."""

    planner: Planner
    answered: set[tuple[str, str]] = field(default_factory=set)
    encoded: set[tuple[object, ...]] = field(default_factory=set)
    read: set[int] = field(default_factory=set)
    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number(self, what: Hashable) -> int:
        """Return a number that stands for a value: hashed once where it is long."""
        return self.numbers.setdefault(what, len(self.numbers))


def _price_cell(point: PricePoint, state: _Priced) -> CellPrice:
    setting, samples, spec = point.setting, point.samples, point.setting.spec
    if not samples:
        raise ValueError(f"price_sweep: no samples to price at {setting.name!r}")
    tokens: list[int] = []
    tiles = new_tiles = shared = llm = to_run = over = positions = new_positions = 0
    model = state.number((setting.model, setting.wiring, spec.times))
    drawn = (setting.resample, setting.control.reduce, setting.control.restore)
    encoder = state.number((spec.encoder, setting.dtype, drawn))
    for sample in samples:
        planned = state.planner.plans(sample, setting)
        visual = sum(medium.plan.num_tokens for medium in planned)
        sample_tiles = sum(medium.plan.num_tiles for medium in planned)
        sequence = visual + sample.text_tokens
        projected = projector_flops(spec.projector, sample_tiles * spec.encoder.tile.tok**2)
        flops = projected + prefill_flops(spec.llm, sequence)
        tokens.append(visual)
        tiles += sample_tiles
        positions += sequence
        llm += flops
        over += sequence > spec.context
        key = (sample.id, state.planner.key(sample, setting))
        if key in state.answered:
            shared += 1
            continue
        state.answered.add(key)
        shown = [(pixels_of(medium, setting), made) for medium, made in zip(sample.media, planned, strict=True)]
        fresh = _new_tiles(shown, encoder, state.encoded)
        begun = _begun(shown, encoder, model, state)
        new_tiles += fresh
        new_positions += sequence - begun
        # what is not read again still is looked at
        to_run += flops + encoder_flops(spec.encoder, fresh) - (prefill_flops(spec.llm, begun) if begun else 0)
    features = new_tiles * spec.encoder.tile.tok**2 * spec.encoder.width
    return CellPrice(
        setting=setting.name,
        samples=len(samples),
        shared=shared,
        tokens_mean=sum(tokens) / len(tokens),
        tokens_median=percentile(tokens, 0.5),
        tokens_p95=percentile(tokens, 0.95),
        tokens_max=max(tokens),
        tiles=tiles,
        new_tiles=new_tiles,
        encoder_flops=encoder_flops(spec.encoder, tiles),
        llm_flops=llm,
        flops_to_run=to_run,
        over_context=over,
        positions=positions,
        new_positions=new_positions,
        feature_bytes=features * (4 if spec.dtype == "float32" else 2),
    )


def _new_tiles(shown: Sequence[tuple[Hashable, PlannedMedium]], encoder: int, encoded: set[tuple[object, ...]]) -> int:
    # a tile's pixels follow from the medium's frame and its canvas; equal pixels of two frames are not foreseen
    fresh = 0
    for pixels, made in shown:
        for canvas in made.plan.canvases:
            key = (encoder, pixels, made.indices[canvas.frame], canvas.tiles, canvas.content_px, canvas.fit)
            if key not in encoded:
                encoded.add(key)
                fresh += canvas.tiles.area
    return fresh


def _begun(shown: Sequence[tuple[Hashable, PlannedMedium]], encoder: int, model: int, state: _Priced) -> int:
    """Return how many visual tokens of a sample an earlier prompt of the same model begins with too.

    Segments count whole; words before, between and behind the media are taken as the sample's own.
    """
    begun, unbroken = 0, True
    before: Hashable = (model, encoder)
    for pixels, made in shown:
        for segment in made.plan.segments:
            canvas = made.plan.canvases[segment.canvas]
            source = (pixels, made.indices[canvas.frame], canvas.tiles, canvas.content_px, canvas.fit)
            how = (segment.crop_tok, segment.out, segment.end, segment.vector, segment.reduce, segment.closing)
            before = state.number((before, source, how))
            unbroken = unbroken and before in state.read
            begun += segment.num_tokens if unbroken else 0
            state.read.add(before)
    return begun
