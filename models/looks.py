"""How the media of a prompt are planned: by the model's settings, a call's or their own, and within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL.Image import Image

from anyres.budget import fit_images
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.plan import VisualPlan, plan_image
from models.spec import ModelSpec
from video.budget import frame_tokens, frames_that_fit, share_frames
from video.clip import VideoClip, VideoSpec
from video.plan import plan_clip
from video.sampling import uniform_indices

if TYPE_CHECKING:
    from models.example import Medium


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumLook:
    """How one medium of a prompt is looked at; None: as the prompt's other media are.

    grid: of an image, or of a clip's frames that are images. video: of a clip.
    """

    grid: GridSpec | None = None
    video: VideoSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How one medium is looked at, once everything is settled."""

    grid: GridSpec
    video: VideoSpec


def settle(
    media: Sequence[Medium],
    spec: ModelSpec,
    grid: GridSpec | None = None,
    video: VideoSpec | None = None,
    looks: Sequence[MediumLook] = (),
) -> tuple[Settled, ...]:
    """Return how each medium is looked at: as its own look says, else as grid and video do, else as the model does.

    The model's own grid may depend on how many images there are; frames that are images count. Raises ValueError for
    looks that are not as many as the media.
    """
    if looks and len(looks) != len(media):
        raise ValueError(f"looks: expected one for each of {len(media)} media, got {len(looks)}")
    given = looks or (MediumLook(),) * len(media)
    videos = [look.video or video or spec.video for look in given]
    images = sum(_images(medium, own) for medium, own in zip(media, videos, strict=True))
    settled = []
    for medium, look, own in zip(media, given, videos, strict=True):
        tiled = not isinstance(medium, Image) and own.frames_as == "anyres"
        found = look.grid or grid or (spec.grid if tiled else spec.grid_among(images))
        settled.append(Settled(grid=found, video=own))
    return tuple(settled)


def plan_medium(medium: Medium, spec: ModelSpec, look: Settled) -> VisualPlan:
    """Return the plan of an upright image or of a clip's frames."""
    size = size_of(medium)
    if isinstance(medium, Image):
        return plan_image(size, look.grid, spec.encoder.tile)
    return plan_clip(size, len(medium.frames_FHWC), look.video, spec.encoder.tile, look.grid)


def size_of(medium: Medium) -> HW:
    """Return the size of an image, or of a clip's frames, in pixels."""
    if isinstance(medium, Image):
        return HW(medium.height, medium.width)
    return HW(*medium.frames_FHWC.shape[1:3])


def plans_within(
    media: Sequence[Medium], spec: ModelSpec, looks: Sequence[Settled], text_tokens: int, budget: int
) -> tuple[VisualPlan, ...]:
    """Return a plan for each medium, with the text at most `budget` tokens: images share what text and clips leave.

    Images of one grid get one cap, and the grids shares of what is left that are as their own plans' tokens. Clips are
    not shrunk: a ValueError names how many frames of one would fit; `fewer_frames` is what lowers them. Raises
    ValueError too where the images cannot be made small enough.
    """
    plans = {index: plan_medium(medium, spec, looks[index]) for index, medium in enumerate(media)}
    images = [index for index, medium in enumerate(media) if isinstance(medium, Image)]
    clips = sum(plan.num_tokens for index, plan in plans.items() if index not in images)
    left = budget - text_tokens - clips
    if left < 0:
        raise ValueError(
            f"budget of {budget:,} tokens: text needs {text_tokens:,} and clips {clips:,}"
            f"{_frames_hint(media, spec, looks, budget - text_tokens)}"
        )
    for grid, members in _by_grid(images, looks).items():
        own = sum(plans[index].num_tokens for index in members)
        others = sum(plans[index].num_tokens for index in images if index not in members)
        share = left if not others else max(left - others, left * own // (own + others))
        fitted = fit_images([size_of(media[index]) for index in members], grid, spec.encoder.tile, share)
        plans.update(zip(members, fitted, strict=True))
        images = [index for index in images if index not in members]
        left -= sum(plan.num_tokens for plan in fitted)
    return tuple(plans.values())


def fewer_frames(
    media: Sequence[Medium], spec: ModelSpec, looks: Sequence[Settled], text_tokens: int, budget: int
) -> tuple[Medium, ...]:
    """Return the media, clips with fewer of their frames where all together with the text exceed `budget` tokens.

    Clips get the share of the tokens that is theirs without a budget; images are lowered by `plans_within` afterwards.
    Of a clip's frames those are kept that are spread evenly over it. Raises ValueError where one frame is too much.
    """
    plans = [plan_medium(medium, spec, look) for medium, look in zip(media, looks, strict=True)]
    total, room = sum(plan.num_tokens for plan in plans), budget - text_tokens
    clips = [index for index, medium in enumerate(media) if not isinstance(medium, Image)]
    if total <= room or not clips:
        return tuple(media)
    # a clip closed by one token needs it whatever its frames are
    closing = sum(looks[index].video.end == "one_token" for index in clips)
    theirs = sum(plans[index].num_tokens for index in clips)
    tile = spec.encoder.tile
    costs = [frame_tokens(looks[i].video, tile, 0, size_of(media[i]), looks[i].grid) for i in clips]
    counts = [len(media[index].frames_FHWC) for index in clips]  # type: ignore[union-attr]
    # at least a frame of each: images give more where that is all that is left
    share = max(room * theirs // total - closing, min(sum(costs), room - closing))
    kept = dict(zip(clips, share_frames(counts, costs, share), strict=True))
    return tuple(
        medium if isinstance(medium, Image) else thinned(medium, kept[index]) for index, medium in enumerate(media)
    )


def thinned(clip: VideoClip, count: int) -> VideoClip:
    """Return a clip with `count` of its frames, first and last included."""
    chosen = list(uniform_indices(len(clip.frames_FHWC), count))
    return replace(
        clip,
        frames_FHWC=clip.frames_FHWC[chosen],
        times_F=clip.times_F[chosen],
        indices=tuple(clip.indices[index] for index in chosen),
    )


def remedies(media: Sequence[Medium], spec: ModelSpec, looks: Sequence[Settled], text_tokens: int) -> list[str]:
    """Return what would bring a prompt into the context, beside a larger RoPE factor."""
    found = []
    if any(isinstance(medium, Image) for medium in media):
        found.append(f"budget={spec.context} lowers its images")
    hint = _frames_hint(media, spec, looks, spec.context - text_tokens)
    return [*found, *([hint.removeprefix("; ")] if hint else [])]


def _frames_hint(media: Sequence[Medium], spec: ModelSpec, looks: Sequence[Settled], room: int) -> str:
    clips = [(medium, look) for medium, look in zip(media, looks, strict=True) if not isinstance(medium, Image)]
    if not clips:
        return ""
    medium, look = clips[0]
    fit = frames_that_fit(room, 0, look.video, spec.encoder.tile, size=size_of(medium), grid=look.grid)
    return f"; a single clip of {fit} frame(s) fits"


def _images(medium: Medium, video: VideoSpec) -> int:
    """Return how many images of a prompt a medium stands for."""
    if isinstance(medium, Image):
        return 1
    return len(medium.frames_FHWC) if video.frames_as == "images" else 0


def _by_grid(images: Sequence[int], looks: Sequence[Settled]) -> dict[GridSpec, list[int]]:
    groups: dict[GridSpec, list[int]] = {}
    for index in images:
        groups.setdefault(looks[index].grid, []).append(index)
    return groups
