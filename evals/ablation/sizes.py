"""The sizes of samples' media, read from headers where there is a file: what planning needs and nothing more."""

from __future__ import annotations

from anyres.decode import image_size
from anyres.errors import MediaError
from anyres.geometry import HW
from evals.ablation.planner import SizedMedium, SizedSample
from evals.sample import Media, Sample
from video.clip import ClipMeta
from video.reader import clip_meta


class Sizes:
    """Sizes by media key, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, HW | ClipMeta | None] = {}

    def sample(self, sample: Sample) -> SizedSample | None:
        """Return the sample's media with their sizes, or None when one of them cannot be read."""
        sizes = [self._size(media) for media in sample.media]
        if any(size is None for size in sizes):
            return None
        media = tuple(
            SizedMedium(key=medium.key, size=size)
            for medium, size in zip(sample.media, sizes, strict=True)
            if size is not None
        )
        return SizedSample(id=sample.id, media=media)

    def _size(self, media: Media) -> HW | ClipMeta | None:
        if media.key not in self._known:
            self._known[media.key] = _read(media)
        return self._known[media.key]


def _read(media: Media) -> HW | ClipMeta | None:
    if media.path is None:
        assert media.draw is not None
        return _drawn(media.draw())
    try:
        return image_size(media.path) if media.kind == "image" else clip_meta(media.path)
    except MediaError:
        # the run itself will report it as this sample's status
        return None


def _drawn(medium: object) -> HW | ClipMeta | None:
    from PIL.Image import Image

    from video.clip import VideoClip

    if isinstance(medium, Image):
        return HW(medium.height, medium.width)
    return medium.meta if isinstance(medium, VideoClip) else None
