"""Open a medium of a command line and say how it is looked at: by its name's settings, or by as many frames as fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.limits import LIMITS, MediaLimits
from anyres.picture import Picture, PixelMode, needed_size
from anyres.reading import read_picture
from models.room import most_frames
from models.serve.inputs import open_clip
from models.shapes import MediumLook, Shape, plan_shape, settle
from models.spec import ModelSpec
from video.clip import VideoSpec
from video.reader import Backend, clip_meta

if TYPE_CHECKING:
    from models.example import Medium


@dataclass(frozen=True, slots=True, kw_only=True)
class Presets:
    """Where the settings of a name come from: grids of images, settings of clips; ValueError for an unknown name."""

    grid: Callable[[str], GridSpec]
    video: Callable[[str], VideoSpec]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookedAt:
    """A medium, and how it is looked at."""

    medium: Medium
    look: MediumLook


def open_looked_at(
    path: Path,
    name: str | None,
    presets: Presets,
    video: VideoSpec,
    backend: Backend,
    spec: ModelSpec,
    text_tokens: int | None,
    pixels: PixelMode = "exact",
    grid: GridSpec | None = None,
    stream: int | None = None,
    limits: MediaLimits = LIMITS,
) -> LookedAt:
    """Return an image or a clip with its look.

    name: of a grid for an image, of video settings for a clip, both in `presets`, or None for `video` and the model's
    own. text_tokens: beside which a clip gets as many frames as fit the model's context; None for as many as its
    settings say. pixels: how exactly an image is read; a draft has the pixels that `grid`, or the model's own, needs.
    stream: a clip of more frames is not read yet (video.unread); None: every clip is.

    Raises ValueError for a name that is not there, and for a file that is neither an image nor a clip.
    """

    def needed(size: HW) -> HW:
        shape = Shape(size=size)
        (settled,) = settle([shape], spec, grid if name is None else presets.grid(name))
        return needed_size(plan_shape(shape, spec, settled))

    image = _image(path, pixels, needed, limits)
    if image is not None:
        return LookedAt(medium=image, look=MediumLook(grid=None if name is None else presets.grid(name)))
    own = video if name is None else presets.video(name)
    if text_tokens is not None:
        meta = clip_meta(path)
        grid = spec.grid_among(2) if own.frames_as == "images" else spec.grid
        own = most_frames(spec, own, text_tokens, available=meta.num_frames, size=meta.size, grid=grid)
    # exact pixels are those of a frame resized as it is decoded, where that is possible
    tile = spec.encoder.tile if pixels == "exact" else None
    return LookedAt(medium=open_clip(path, own, backend, tile, stream, limits), look=MediumLook(video=own))


def _image(path: Path, pixels: PixelMode, needed: Callable[[HW], HW], limits: MediaLimits) -> Image | Picture | None:
    # PIL is loaded on first use
    from anyres.decode import open_image

    try:
        return open_image(path, limits) if pixels != "draft" else read_picture(path, pixels, needed, limits)
    except MediaError as error:
        if error.kind != "not_media":
            raise
        return None
