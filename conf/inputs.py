"""What the words of anyres-plan stand for, and their plans: each alone, or all as one prompt within a budget."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyres.cost import price
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.media_size import parse_size
from anyres.report import PlannedMedium
from conf.arguments import named
from conf.looks import grid_named, video_named
from conf.nearest import near_file
from conf.schema.plan import PlanConfig
from models.room import most_frames
from models.shapes import MediumLook, Settled, Shape, frames_within, plan_shape, plans_within, remedies, settle
from video.budget import check_context, frame_tokens, frames_that_fit, rope_factor
from video.clip import INEXACT, ClipMeta, VideoSpec
from video.sampling import sample, uniform_indices

if TYPE_CHECKING:
    from video.timeline import Timeline

_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What a word of the command line stands for: its size in pixels as shown, and a clip's header and frame times.

    name: the word. look: the name behind its "@", of a grid for an image and of video settings for a clip.
    """

    name: str
    size: HW
    clip: ClipMeta | None = None
    look: str | None = None
    timeline: "Timeline | None" = None


def read_inputs(words: Sequence[str]) -> list[Input]:
    """Return what each word stands for; FOLDER@NAME stands for the pictures in it. Raises as `read_input` does."""
    return [one for word in words for one in _read(word)]


def read_input(word: str) -> Input:
    """Return a size, or an image or clip by its header.

    Raises ValueError for a word that is none of these, MediaError for a file that cannot be read.
    """
    size = parse_size(word)
    if size is not None:
        return Input(name=word, size=size)
    path = Path(word)
    if path.is_dir():
        raise ValueError(f"{word}: is a folder; give files, sizes like 640x480, or FOLDER@GRID for its pictures")
    if not path.exists():
        raise ValueError(f"{word}: no such file, and not a size like 640x480 (WIDTHxHEIGHT){near_file(path)}")
    size = _image_size(path)
    if size is not None:
        return Input(name=word, size=size)
    timeline = _clip_header(word)
    return Input(name=word, size=timeline.meta.size, clip=timeline.meta, timeline=timeline)


def plan_inputs(inputs: Sequence[Input], config: PlanConfig, together: bool) -> list[PlannedMedium]:
    """Return the inputs planned and priced: each as if alone, or together as one prompt, within the budget if any.

    Raises ValueError for a budget that cannot be met, and for a plan beyond the context that rope_factor gives.
    """
    spec, text = config.spec, config.text_tokens
    looks = [_look(one, config) for one in inputs]
    frames = [_frames(one, look, spec.video) for one, look in zip(inputs, looks, strict=True)]
    shapes = [_shape(one, chosen) for one, chosen in zip(inputs, frames, strict=True)]
    if together:
        settled = settle(shapes, spec, looks=looks)
    else:
        settled = tuple(settle([one], spec, looks=[look])[0] for one, look in zip(shapes, looks, strict=True))
    budget = config.budget
    if config.fewer_frames:
        budget = spec.context - text if budget is None else budget
        shapes = list(frames_within(shapes, spec, settled, 0, budget))
        frames = [_thinned(*one) for one in zip(frames, shapes, strict=True)]
    if budget is None:
        plans = tuple(plan_shape(shape, spec, look) for shape, look in zip(shapes, settled, strict=True))
    else:
        plans = plans_within(shapes, spec, settled, 0, budget)
    if config.rope_factor is not None:
        for group in [range(len(plans))] if together else [[index] for index in range(len(plans))]:
            visual = sum(plans[index].num_tokens for index in group)
            help_ = remedies([shapes[i] for i in group], spec, [settled[i] for i in group], text, spec.context - text)
            check_context(visual, text, spec.llm.context, config.rope_factor, help_)
    return [_priced(*one, config) for one in zip(inputs, plans, settled, frames, strict=True)]


def _read(word: str) -> list[Input]:
    one = named(word)
    if one.name is None:
        return [read_input(word)]
    folder = Path(one.word)
    if not folder.is_dir():
        return [replace(read_input(one.word), look=one.name)]
    files = sorted(str(path) for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not files:
        raise ValueError(f"{folder}: a folder without pictures")
    return [replace(read_input(file), look=one.name) for file in files]


def _look(one: Input, config: PlanConfig) -> MediumLook:
    """Return how an input is looked at where that differs from the others."""
    if one.clip is None:
        return MediumLook() if one.look is None else MediumLook(grid=grid_named(one.look))
    video = None if one.look is None else video_named(one.look)
    if config.most_frames:
        spec, own = config.spec, video or config.video
        grid = spec.grid_among(2) if own.frames_as == "images" else spec.grid
        available, text = one.clip.num_frames, config.text_tokens
        video = most_frames(spec, own, text, available=available, size=one.size, grid=grid)
    return MediumLook(video=video)


def _frames(one: Input, look: MediumLook, video: VideoSpec) -> tuple[int, ...] | None:
    """Return the sampled frames of a clip, None for an image."""
    if one.clip is None:
        return None
    if one.timeline is None:
        return sample(one.clip, look.video or video)
    return sample(one.clip, look.video or video, one.timeline.times_s, one.timeline.keyframes)


def _shape(one: Input, frames: tuple[int, ...] | None) -> Shape:
    return Shape(size=one.size, frames=None if frames is None else len(frames))


def _thinned(frames: tuple[int, ...] | None, shape: Shape) -> tuple[int, ...] | None:
    if frames is None or shape.frames is None:
        return None
    return tuple(frames[index] for index in uniform_indices(len(frames), shape.frames))


def _priced(one: Input, plan: Any, look: Settled, frames: tuple[int, ...] | None, config: PlanConfig) -> PlannedMedium:
    clip = frames is not None
    cost = price(
        plan,
        config.encoder,
        config.spec.projector,
        config.llm,
        config.text_tokens,
        project_packed=clip and look.video.pool_before_projector,
    )
    return PlannedMedium(
        name=one.name,
        size=one.size,
        plan=plan,
        price=cost,
        rope_factor=rope_factor(cost.sequence, config.llm.context),
        detail=None if clip or not look.grid.layouts else len(plan.canvases) - 1,
        clip=None if frames is None or one.clip is None else _clip_row(one.clip, frames, look, config),
    )


def _clip_row(meta: ClipMeta, frames: tuple[int, ...], look: Settled, config: PlanConfig) -> dict[str, Any]:
    header = asdict(meta)
    del header["size"]
    video, tile, spec = look.video, config.encoder.tile, config.spec
    per_frame = {"tokens_per_frame": frame_tokens(video, tile, 0, meta.size, look.grid)}
    if video.slow_every is not None:
        # the second frame is a fast one, unless every frame is slow
        per_frame["tokens_per_fast_frame"] = frame_tokens(video, tile, frame=1)
    fit = frames_that_fit(spec.context, config.text_tokens, video, tile, size=meta.size, grid=look.grid)
    chosen = {"frames": len(frames), "frame_indices": list(frames), "frames_exact": video.policy not in INEXACT}
    return {**header, **chosen, **per_frame, "frames_that_fit": fit}


def _image_size(path: Path) -> HW | None:
    # sizes given as words need no image library
    from anyres.decode import image_size

    try:
        return image_size(path)
    except MediaError as error:
        if error.kind != "not_media":
            raise
        return None


def _clip_header(word: str) -> "Timeline":
    # the reader stays out of the way of inputs that need none
    from video.reader import open_clip_reader

    try:
        return open_clip_reader(word).timeline
    except MediaError as error:
        if error.kind != "not_media":
            raise
        raise ValueError(f"{word}: neither an image nor a video of a known format") from error
