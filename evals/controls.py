"""Controls that wrap any task: what a model scores when the picture has nothing to do with the question."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from evals.sample import Sample


def shuffle_media(samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """Return the samples in order, each with the media of another one: the blind control.

    Media move between samples with the same number and kinds of media; questions that shared media still share them,
    and no sample keeps its own. Where only one set of media of a kind exists, nothing can move: a ValueError.
    """
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    media = {}
    for sample in samples:
        if sample.media and sample.media_key not in media:
            media[sample.media_key] = sample.media
            groups.setdefault(tuple(medium.kind for medium in sample.media), []).append(sample.media_key)
    given = {}
    for kinds, keys in groups.items():
        if len(keys) < 2:
            raise ValueError(f"blind control: all questions share one {' + '.join(kinds)}, there is no other to show")
        order = random.Random(seed).sample(keys, len(keys))
        # one cycle through all of them: nobody gets his own
        given.update(zip(order, order[1:] + order[:1], strict=True))
    return [replace(s, media=media[given[s.media_key]]) if s.media else s for s in samples]
