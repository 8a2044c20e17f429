"""Controls that wrap any task: what a model scores when the picture, its detail or the order of frames is taken away.

`shuffle_media` gives every question another sample's media. A `Control` changes what is decoded: one frame of a clip,
frames out of order, pictures reduced to a part of their pixels.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from anyres.geometry import HW
from evals.sample import Media, MediaKind, Sample

Frames = Literal["all", "single", "shuffled"]
Reduce = Literal[1, 2, 4, 8]
# kinds of a sample's media, and sets of media by their keys
Form = tuple[MediaKind, ...]
Keys = tuple[str, ...]
Sets = Mapping[Keys, tuple[Media, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What is taken away from media before they are planned.

    frames: "single" keeps the middle one of the frames that the policy chose; "shuffled" shows them in another order at
    the same times. reduce: sides are divided by this. restore: and resized to what they were, so that plan and tokens
    stay the same and only detail is lost.
    """

    frames: Frames = "all"
    reduce: Reduce = 1
    restore: bool = False

    def __post_init__(self) -> None:
        if self.frames not in get_args(Frames):
            raise ValueError(f"control.frames: expected one of {', '.join(get_args(Frames))}, got {self.frames!r}")
        if self.reduce not in get_args(Reduce):
            raise ValueError(f"control.reduce: expected 1, 2, 4 or 8, got {self.reduce!r}")

    def of(self, kind: MediaKind) -> Hashable:
        """Return what this control changes in a medium of a kind; equal values change it equally."""
        return (self.frames if kind == "video" else "all", self.reduce, self.restore and self.reduce > 1)

    def size(self, size: HW) -> HW:
        """Return the size that a picture of `size` has afterwards: sides rounded, at least 1."""
        return size if self.restore else self.reduced(size)

    def reduced(self, size: HW) -> HW:
        """Return the size that a picture is reduced to."""
        return HW(max(1, round(size.h / self.reduce)), max(1, round(size.w / self.reduce)))

    def chosen(self, indices: Sequence[int], seed: str) -> tuple[int, ...]:
        """Return which of the sampled frames are shown, in order; a shuffle is never the identity unless all are equal.

        seed: of the shuffle, the medium's key.
        """
        if self.frames == "single":
            return (indices[len(indices) // 2],)
        if self.frames == "all" or len(set(indices)) < 2:
            return tuple(indices)
        draw, mixed = random.Random(f"frames|{seed}"), list(indices)
        while mixed == list(indices):
            mixed = draw.sample(list(indices), len(indices))
        return tuple(mixed)


NO_CONTROL = Control()


def shuffle_media(samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """Return the samples in order, each with the media of another one: the blind control.

    Media move within one kind of question, between samples with the same number and kinds of media, so that what a
    kind's media look like tells nothing either. Questions of a kind that shared media still share them, and no sample
    keeps its own. Kinds with a single set of media exchange theirs, a last one takes any other. Where there is no other
    at all, a ValueError.
    """
    of_kind: dict[tuple[str, Form], dict[Keys, tuple[Media, ...]]] = {}
    of_form: dict[Form, dict[Keys, tuple[Media, ...]]] = {}
    for sample in samples:
        if sample.media:
            form = tuple(medium.kind for medium in sample.media)
            of_kind.setdefault((sample.kind, form), {})[sample.media_key] = sample.media
            of_form.setdefault(form, {})[sample.media_key] = sample.media
    given: dict[tuple[str, Keys], tuple[Media, ...]] = {}
    alone: dict[Form, list[tuple[str, Keys]]] = {}
    for (kind, form), sets in of_kind.items():
        if len(sets) > 1:
            given.update({(kind, key): media for key, media in _turned(sets, seed).items()})
        else:
            alone.setdefault(form, []).append((kind, next(iter(sets))))
    for form, kinds in alone.items():
        keys = {key for _, key in kinds}
        sets = of_form[form] if len(keys) < 2 else {key: of_form[form][key] for key in of_form[form] if key in keys}
        if len(sets) < 2:
            raise ValueError(f"blind control: all questions share one {' + '.join(form)}, there is no other to show")
        turned = _turned(sets, seed)
        given.update({(kind, key): turned[key] for kind, key in kinds})
    return [replace(s, media=given[s.kind, s.media_key]) if s.media else s for s in samples]


def _turned(sets: Sets, seed: int) -> Sets:
    """Return another one of the sets for each: one cycle through all of them, so nobody gets his own."""
    order = random.Random(seed).sample(list(sets), len(sets))
    return {key: sets[other] for key, other in zip(order, order[1:] + order[:1], strict=True)}
