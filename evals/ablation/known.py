"""What a sample's media are before any plan: size, length and shape, which a resolution ablation is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from anyres.geometry import HW
from evals.ablation.sizes import Sizes
from evals.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A sample's native size in pixels (of its largest medium), seconds of its clips, and the benchmark's own facts.

    size: None when a medium cannot be read. seconds: None without a clip. pixels: of all images, or of one frame of
    each clip.
    """

    size: HW | None = None
    seconds: float | None = None
    pixels: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def aspect(self) -> float | None:
        """Return width over height."""
        return None if self.size is None else self.size.w / self.size.h


NOTHING = Known()


def known_of(samples: Iterable[Sample], sizes: Sizes | None = None) -> dict[str, Known]:
    """Return what is known of each sample, by id; headers are read, pixels only of media that are drawn."""
    sizes = sizes or Sizes()
    return {sample.id: _known(sample, sizes) for sample in samples}


def _known(sample: Sample, sizes: Sizes) -> Known:
    sized = sizes.sample(sample)
    if sized is None:
        return Known(facts=sample.facts)
    frames: list[HW] = []
    seconds: list[float] = []
    for medium, named in zip(sized.media, sample.media, strict=True):
        if isinstance(medium.size, HW):
            frames.append(medium.size)
            continue
        frames.append(medium.size.size)
        whole = medium.size.duration_s
        seconds.append(whole if named.span is None else min(whole, named.span[1]) - named.span[0])
    return Known(
        size=max(frames, key=lambda size: size.area, default=None),
        seconds=sum(seconds) if seconds else None,
        pixels=sum(size.area for size in frames),
        facts=sample.facts,
    )
