"""A few samples of a sweep to look at: the picture, what one tile of it shows, and the answer at every setting."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from anyres.decode import open_image
from anyres.errors import MediaError
from evals.ablation.report import Example, Gallery
from evals.ablation.table import Measured
from evals.result import Scored
from evals.sample import Media, Sample

SHOWN_PX = 336


def gallery(points: Sequence[Measured], task: str, samples: Sequence[Sample], tile_px: int, most: int = 8) -> Gallery:
    """Return the first sample of each kind that is about one picture, at most `most`; an empty gallery for clips.

    samples: in the task's own order, so that nothing is selected by its outcome.
    """
    firsts: dict[str, Sample] = {}
    for sample in samples:
        if len(sample.media) == 1 and sample.media[0].kind == "image":
            firsts.setdefault(sample.kind, sample)
    answers = [{item.id: item for item in point.results[task].samples} for point in points]
    items = []
    for sample in list(firsts.values())[:most]:
        picture = _picture(sample.media[0])
        if picture is None:
            continue
        told = [(point.setting, *_answer(found[sample.id])) for point, found in zip(points, answers, strict=True)]
        items.append(
            Example(
                kind=sample.kind,
                question=sample.question,
                right=sample.answer,
                answers=tuple(told),
                picture=_png(picture),
                squashed=_png(picture.resize((tile_px, tile_px), Image.Resampling.BICUBIC)),
            )
        )
    return Gallery(items=tuple(items))


def _answer(item: Scored) -> tuple[str, bool]:
    prediction = item.prediction
    return prediction.text or prediction.status, item.score == 1.0


def _picture(media: Media) -> Image.Image | None:
    try:
        picture = open_image(media.path) if media.path is not None else media.draw() if media.draw else None
    except MediaError:
        # its status says so in the table
        return None
    if not isinstance(picture, Image.Image):
        return None
    shown = picture.copy()
    shown.thumbnail((SHOWN_PX, SHOWN_PX))
    return shown


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return out.getvalue()
