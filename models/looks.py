"""How the media of a prompt are planned: by the model's settings or a call's, and within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL.Image import Image

from anyres.budget import fit_images
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.plan import VisualPlan, plan_image
from models.spec import ModelSpec
from video.budget import frames_that_fit
from video.clip import VideoSpec
from video.plan import plan_clip

if TYPE_CHECKING:
    from models.example import Medium


def one_image(media: Sequence[Medium]) -> bool:
    """Tell whether at most one of the media is an image, clips aside."""
    return sum(isinstance(medium, Image) for medium in media) <= 1


def plan_medium(
    medium: Medium, spec: ModelSpec, grid: GridSpec | None, video: VideoSpec | None, alone: bool
) -> VisualPlan:
    """Return the plan of an upright image or of a clip's frames; grid and video replace the model's own settings."""
    if isinstance(medium, Image):
        return plan_image(HW(medium.height, medium.width), image_grid(spec, grid, alone), spec.encoder.tile)
    frames, height, width = medium.frames_FHWC.shape[:3]
    return plan_clip(HW(height, width), frames, video or spec.video, spec.encoder.tile)


def image_grid(spec: ModelSpec, grid: GridSpec | None, alone: bool) -> GridSpec:
    """Return the grid of an image: the one given, or the model's own, which may depend on company."""
    return grid or spec.grid_among(1 if alone else 2)


def plans_within(
    media: Sequence[Medium],
    spec: ModelSpec,
    grid: GridSpec | None,
    video: VideoSpec | None,
    text_tokens: int,
    budget: int,
) -> tuple[VisualPlan, ...]:
    """Return a plan for each medium, with the text at most `budget` tokens: images share what text and clips leave.

    Clips are not shrunk: a ValueError names how many frames of one would fit. Raises ValueError too where the images
    cannot be made small enough.
    """
    alone = one_image(media)
    plans = {index: plan_medium(medium, spec, grid, video, alone) for index, medium in enumerate(media)}
    images = {index: medium for index, medium in enumerate(media) if isinstance(medium, Image)}
    clips = sum(plan.num_tokens for index, plan in plans.items() if index not in images)
    left = budget - text_tokens - clips
    if left < 0:
        fit = frames_that_fit(budget, text_tokens, video or spec.video, spec.encoder.tile)
        hint = f"; a single clip of {fit} frame(s) fits" if clips else ""
        raise ValueError(f"budget of {budget:,} tokens: text needs {text_tokens:,} and clips {clips:,}{hint}")
    if images:
        sizes = [HW(medium.height, medium.width) for medium in images.values()]
        fitted = fit_images(sizes, image_grid(spec, grid, alone), spec.encoder.tile, left)
        plans.update(zip(images, fitted, strict=True))
    return tuple(plans.values())
