"""anyres-plan: print what images and clips cost before a weight is loaded, and draw it."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyres.budget import fit_images
from anyres.cost import price
from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.media_size import parse_size
from anyres.plan import VisualPlan, plan_image
from anyres.report import PlannedMedium, json_row, notes_list, parameters_line, table
from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, compose, one_line
from conf.schema import PlanConfig
from models.parameters import count
from video.budget import frame_tokens, rope_factor
from video.clip import ClipMeta
from video.plan import plan_clip
from video.sampling import sample

# file formats of a drawing
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    words = sys.argv[1:] if argv is None else argv
    if list(words[:1]) == ["check"]:
        # planning needs neither torch nor the libraries of encoders
        from models.encoders.main import main as check

        return check(words[1:])
    try:
        arguments = split_arguments(words, known={"--json"})
        with _with_folders(arguments.overrides) as overrides:
            for composed in compose("plan", overrides):
                config = build(PlanConfig, composed.mapping)
                text = report(arguments.bare, config, as_json="--json" in arguments.flags)
                print(text if "--json" in arguments.flags else f"{_headline(composed.chosen, config)}\n\n{text}")
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"anyres-plan: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _with_folders(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield the overrides, a model=FOLDER among them as the preset that the checkpoint's own settings make."""
    folders = [word for word in overrides if word.startswith("model=") and _is_checkpoint(word.removeprefix("model="))]
    if not folders:
        yield list(overrides)
        return
    # reading a checkpoint takes torch and transformers, named presets take neither
    from models.checkpoints.load import read_checkpoint
    from models.checkpoints.preset import NAME, write_preset

    with TemporaryDirectory() as place:
        write_preset(Path(place), read_checkpoint(Path(folders[-1].removeprefix("model="))).spec)
        rest = [word for word in overrides if word not in folders]
        yield [f"hydra.searchpath=[file://{place}]", f"model={NAME}", *rest]


def _is_checkpoint(name: str) -> bool:
    if any((Path(name) / file).is_file() for file in ("config.json", "anyres.json")):
        return True
    if "/" in name and "," not in name:
        raise ValueError(f"model={name}: expected a preset, or a checkpoint folder with config.json or anyres.json")
    return False


def report(words: Sequence[str], config: PlanConfig, as_json: bool) -> str:
    """Return what anyres-plan prints for sizes, images and clips; draw them too where the configuration asks for it.

    Raises ValueError or OSError for a word that is none of these, MediaError for a clip that cannot be read.
    """
    if not words:
        raise ValueError("nothing to plan: give sizes like 640x480, images or clips (anyres-plan --help)")
    picture = None if config.draw is None else _picture_path(config.draw, words)
    inputs = [read_input(word) for word in words]
    together = config.together or config.budget is not None
    media = plan_inputs(inputs, config, together)
    if picture is not None:
        # drawing needs fonts and arrays, planning does not
        from anyres.draw import draw_media

        draw_media(media, [_frames(medium) for medium in media], picture)
    if as_json:
        return "[\n" + ",\n".join(f"  {json.dumps(json_row(medium))}" for medium in media) + "\n]"
    return table(media) + _one_prompt(inputs, media, config, together) + _model(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """What a word of the command line stands for: its size in pixels as shown, and a clip's header."""

    name: str
    size: HW
    clip: ClipMeta | None = None


def read_input(word: str) -> Input:
    """Return a size, or an image or clip by its header. Raises as `report` does."""
    size = parse_size(word)
    if size is not None:
        return Input(name=word, size=size)
    path = Path(word)
    if path.is_dir():
        raise ValueError(f"{word}: is a folder; give image or video files, or sizes like 640x480")
    if not path.exists():
        raise ValueError(f"{word}: no such file, and not a size like 640x480 (WIDTHxHEIGHT)")
    size = _image_size(path)
    if size is not None:
        return Input(name=word, size=size)
    meta = _clip_header(word)
    return Input(name=word, size=meta.size, clip=meta)


def plan_inputs(inputs: Sequence[Input], config: PlanConfig, together: bool) -> list[PlannedMedium]:
    """Return the inputs planned and priced: each as if alone, or together as one prompt, within the budget if any."""
    clips = {one.name: _plan_clip(one.clip, config) for one in inputs if one.clip is not None}
    sizes = [one.size for one in inputs if one.clip is None]
    grid = config.spec.grid_among(len(sizes) if together else 1)
    tile = config.encoder.tile
    if config.budget is None:
        images = tuple(plan_image(size, grid, tile) for size in sizes)
    else:
        room = config.budget - sum(clips[one.name].num_tokens for one in inputs if one.clip is not None)
        if room < 0:
            raise ValueError(f"budget of {config.budget:,} tokens: the clips alone need {config.budget - room:,}")
        images = fit_images(sizes, grid, tile, room)
    rest = iter(images)
    plans = [next(rest) if one.clip is None else clips[one.name] for one in inputs]
    return [_priced(one, plan, config, grid) for one, plan in zip(inputs, plans, strict=True)]


def _image_size(path: Path) -> HW | None:
    # sizes given as words need no image library
    from anyres.decode import image_size

    try:
        return image_size(path)
    except MediaError as error:
        if error.kind != "not_media":
            raise
        return None


def _clip_header(word: str) -> ClipMeta:
    # the reader stays out of the way of inputs that need none
    from video.reader import clip_meta

    try:
        return clip_meta(word)
    except MediaError as error:
        if error.kind != "not_media":
            raise
        raise ValueError(f"{word}: neither an image nor a video of a known format") from error


def _plan_clip(meta: ClipMeta, config: PlanConfig) -> VisualPlan:
    return plan_clip(meta.size, len(sample(meta, config.video)), config.video, config.encoder.tile)


def _clip_row(meta: ClipMeta, config: PlanConfig) -> dict[str, Any]:
    header = asdict(meta)
    del header["size"]
    indices = sample(meta, config.video)
    per_frame = {"tokens_per_frame": frame_tokens(config.video, config.encoder.tile)}
    if config.video.slow_every is not None:
        # the second frame is a fast one, unless every frame is slow
        per_frame["tokens_per_fast_frame"] = frame_tokens(config.video, config.encoder.tile, frame=1)
    return {**header, "frames": len(indices), "frame_indices": list(indices), **per_frame}


def _priced(one: Input, plan: VisualPlan, config: PlanConfig, grid: GridSpec) -> PlannedMedium:
    pooled_first = one.clip is not None and config.video.pool_before_projector
    projector = config.spec.projector
    cost = price(plan, config.encoder, projector, config.llm, config.text_tokens, project_packed=pooled_first)
    return PlannedMedium(
        name=one.name,
        size=one.size,
        plan=plan,
        price=cost,
        rope_factor=rope_factor(cost.sequence, config.llm.context),
        detail=len(plan.canvases) - 1 if one.clip is None and grid.layouts else None,
        clip=None if one.clip is None else _clip_row(one.clip, config),
    )


def _picture_path(draw: str, words: Sequence[str]) -> Path:
    """Return where the picture goes. Raises ValueError for a name that is no picture's, or that is an input's."""
    path = Path(draw)
    if path.suffix.lower() not in _PICTURES:
        raise ValueError(f"draw={draw}: expected a file name that ends in one of {', '.join(_PICTURES)}")
    if not path.parent.is_dir():
        raise ValueError(f"draw={draw}: {path.parent} is no folder")
    for word in words:
        if path.exists() and Path(word).exists() and path.samefile(word):
            raise ValueError(f"draw={draw}: would overwrite the input {word}; expected another name")
    return path


def _frames(medium: PlannedMedium) -> list[Any]:
    from anyres.decode import open_image
    from anyres.draw import placeholder

    if medium.clip is not None:
        from video.reader import open_clip_reader

        return list(open_clip_reader(medium.name).read(medium.clip["frame_indices"]).frames_FHWC)
    return [placeholder(medium.size) if parse_size(medium.name) else open_image(medium.name)]


def _headline(chosen: dict[str, str], config: PlanConfig) -> str:
    chosen = chosen | ({"model": config.model.name} if chosen["model"] == "checkpoint" else {})
    choices = " ".join(f"{group}={chosen[group]}" for group in ("model", "encoder", "grid", "video", "llm"))
    side = config.encoder.tile.tok
    tile = f"{config.encoder.tile_px} px tiles of {side} x {side} tokens"
    return f"{choices}\n{tile}; context of {config.llm.context:,}, {config.text_tokens} of it for text"


def _one_prompt(inputs: Sequence[Input], media: Sequence[PlannedMedium], config: PlanConfig, together: bool) -> str:
    """Return what all inputs cost in one prompt, planned as the model plans several, or nothing for one input."""
    if len(media) < 2 and config.budget is None:
        return ""
    how = ""
    images = sum(one.clip is None for one in inputs)
    if not together and config.spec.grid_among(images) != config.grid:
        media = plan_inputs(inputs, config, together=True)
        how = ", each image padded to one view (together=true)"
    tokens = sum(medium.plan.num_tokens for medium in media)
    factor = rope_factor(tokens + config.text_tokens, config.llm.context)
    share = 100 * tokens / config.llm.context
    budget = "" if config.budget is None else f" of a budget of {config.budget:,}"
    cost = f"{tokens:,} tokens{budget}, {share:.1f}% of the context, RoPE x{factor:g}"
    return f"\n\nall {len(media)} in one prompt{how}: {cost}"


def _model(config: PlanConfig) -> str:
    """Return the parameters of the model, and what is to know of its preset."""
    told = {topic: note for topic, note in config.model.notes.items() if note is not None}
    notes = f"\n\nnotes on {config.model.name}:\n{notes_list(told)}" if told else ""
    return f"\n\n{parameters_line(count(config.spec))}{notes}"


if __name__ == "__main__":
    sys.exit(main())
