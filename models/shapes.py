"""How the media of a prompt are planned, by their shapes alone: the model's settings, a call's or their own; a budget.

Integers only: what anyres-plan tells and what a processor does are the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from anyres.budget import fit_mixed
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.plan import VisualPlan, plan_image
from models.spec import ModelSpec
from video.budget import clip_tokens, frames_that_fit, share_frames
from video.clip import VideoSpec
from video.plan import plan_clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A medium's size in pixels, and its sampled frames, None for an image."""

    size: HW
    frames: int | None = None


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
    shapes: Sequence[Shape],
    spec: ModelSpec,
    grid: GridSpec | None = None,
    video: VideoSpec | None = None,
    looks: Sequence[MediumLook] = (),
) -> tuple[Settled, ...]:
    """Return how each medium is looked at: as its own look says, else as grid and video do, else as the model does.

    The model's own grid may depend on how many images there are; frames that are images count. Raises ValueError for
    looks that are not as many as the media.
    """
    if looks and len(looks) != len(shapes):
        raise ValueError(f"looks: expected one for each of {len(shapes)} media, got {len(looks)}")
    given = looks or (MediumLook(),) * len(shapes)
    videos = [look.video or video or spec.video for look in given]
    images = sum(_images(shape, own) for shape, own in zip(shapes, videos, strict=True))
    settled = []
    for shape, look, own in zip(shapes, given, videos, strict=True):
        tiled = shape.frames is not None and own.frames_as == "anyres"
        found = look.grid or grid or (spec.grid if tiled else spec.grid_among(images))
        settled.append(Settled(grid=found, video=own))
    return tuple(settled)


def plan_shape(shape: Shape, spec: ModelSpec, look: Settled) -> VisualPlan:
    """Return the plan of an image or of a clip's frames."""
    if shape.frames is None:
        return plan_image(shape.size, look.grid, spec.encoder.tile)
    return plan_clip(shape.size, shape.frames, look.video, spec.encoder.tile, look.grid)


def plans_within(
    shapes: Sequence[Shape], spec: ModelSpec, looks: Sequence[Settled], text_tokens: int, budget: int
) -> tuple[VisualPlan, ...]:
    """Return a plan for each medium, with the text at most `budget` tokens: images share what text and clips leave.

    All images have one cap, whatever their grids. Clips are not shrunk: a ValueError names how many frames of one would
    fit; `frames_within` is what lowers them. Raises ValueError too where the images cannot be made small enough.
    """
    plans = {index: plan_shape(shape, spec, looks[index]) for index, shape in enumerate(shapes)}
    images = [index for index, shape in enumerate(shapes) if shape.frames is None]
    clips = sum(plan.num_tokens for index, plan in plans.items() if index not in images)
    left = budget - text_tokens - clips
    if left < 0:
        hint = _frames_hint(shapes, spec, looks, budget - text_tokens)
        raise ValueError(f"budget of {budget:,} tokens: text needs {text_tokens:,} and clips {clips:,}{hint}")
    if images:
        sizes, grids = [shapes[index].size for index in images], [looks[index].grid for index in images]
        plans.update(zip(images, fit_mixed(sizes, grids, spec.encoder.tile, left), strict=True))
    return tuple(plans.values())


def frames_within(
    shapes: Sequence[Shape], spec: ModelSpec, looks: Sequence[Settled], text_tokens: int, budget: int
) -> tuple[Shape, ...]:
    """Return the shapes, clips with fewer frames where all together with the text exceed `budget` tokens.

    Clips get the share of the tokens that is theirs without a budget; images are lowered by `plans_within` afterwards.
    Raises ValueError where one frame of each is too much.
    """
    plans = [plan_shape(shape, spec, look) for shape, look in zip(shapes, looks, strict=True)]
    total, room = sum(plan.num_tokens for plan in plans), budget - text_tokens
    clips = {index: shape.frames for index, shape in enumerate(shapes) if shape.frames is not None}
    if total <= room or not clips:
        return tuple(shapes)
    theirs = sum(plans[index].num_tokens for index in clips)
    # fast frames cost less than slow ones, and the last frame may be followed by a token: clips are counted whole
    tokens_of = [partial(_clip_tokens, shapes[index], spec, looks[index]) for index in clips]
    # at least a frame of each: images give more where that is all that is left
    share = max(room * theirs // total, min(sum(tokens(1) for tokens in tokens_of), room))
    kept = dict(zip(clips, share_frames(list(clips.values()), tokens_of, share), strict=True))
    return tuple(
        shape if shape.frames is None else Shape(size=shape.size, frames=kept[index])
        for index, shape in enumerate(shapes)
    )


def remedies(
    shapes: Sequence[Shape], spec: ModelSpec, looks: Sequence[Settled], text_tokens: int, budget: int | None = None
) -> list[str]:
    """Return what would bring a prompt into the context, beside a larger RoPE factor.

    budget: the budget that fills the context; None where it counts the text too.
    """
    most = spec.context if budget is None else budget
    lowered = f"budget={most} (anyres-plan, anyres-ask) or a smaller grid.target_tok lowers its images"
    found = [lowered] if any(shape.frames is None for shape in shapes) else []
    hint = _frames_hint(shapes, spec, looks, spec.context - text_tokens)
    return [*found, *([hint.removeprefix("; ")] if hint else [])]


def _frames_hint(shapes: Sequence[Shape], spec: ModelSpec, looks: Sequence[Settled], room: int) -> str:
    clips = [
        (shape, look)
        for shape, look in zip(shapes, looks, strict=True)
        if shape.frames is not None and plan_shape(shape, spec, look).num_tokens
    ]
    if not clips:
        return ""
    shape, look = clips[0]
    fit = frames_that_fit(room, 0, look.video, spec.encoder.tile, size=shape.size, grid=look.grid)
    return f"; a single clip of {fit} frame(s) fits"


def _clip_tokens(shape: Shape, spec: ModelSpec, look: Settled, num_frames: int) -> int:
    return clip_tokens(num_frames, look.video, spec.encoder.tile, shape.size, look.grid)


def _images(shape: Shape, video: VideoSpec) -> int:
    """Return how many images of a prompt a medium stands for."""
    if shape.frames is None:
        return 1
    return shape.frames if video.frames_as == "images" else 0
