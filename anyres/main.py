"""anyres-plan: print what images and clips cost before a weight is loaded, and draw it."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anyres.cost import price
from anyres.geometry import HW
from anyres.media_size import parse_size
from anyres.plan import VisualPlan, plan_image
from anyres.report import PlannedMedium, json_row, table
from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, compose, one_line
from conf.schema import PlanConfig
from video.budget import frame_tokens, rope_factor
from video.clip import ClipMeta
from video.errors import MediaError
from video.plan import plan_clip
from video.sampling import sample

# file formats of a drawing
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known={"--json"})
        for composed in compose("plan", arguments.overrides):
            config = build(PlanConfig, composed.mapping)
            text = report(arguments.bare, config, as_json="--json" in arguments.flags)
            print(text if "--json" in arguments.flags else f"{_headline(composed.chosen, config)}\n\n{text}")
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"anyres-plan: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def report(words: Sequence[str], config: PlanConfig, as_json: bool) -> str:
    """Return what anyres-plan prints for sizes, images and clips; draw them too where the configuration asks for it.

    Raises ValueError or OSError for a word that is none of these, MediaError for a clip that cannot be read.
    """
    if not words:
        raise ValueError("nothing to plan: give sizes like 640x480, images or clips (anyres-plan --help)")
    picture = None if config.draw is None else _picture_path(config.draw, words)
    media = [plan_input(word, config) for word in words]
    if picture is not None:
        # drawing needs fonts and arrays, planning does not
        from anyres.draw import draw_media

        draw_media(media, [_frames(medium) for medium in media], picture)
    if as_json:
        return "[\n" + ",\n".join(f"  {json.dumps(json_row(medium))}" for medium in media) + "\n]"
    return table(media) + _together(media, config)


def plan_input(word: str, config: PlanConfig) -> PlannedMedium:
    """Return the plan of a size, an image or a clip. Raises as `report` does."""
    size = parse_size(word)
    if size is not None:
        return _plan_image(word, size, config)
    path = Path(word)
    if path.is_dir():
        raise ValueError(f"{word}: is a folder; give image or video files, or sizes like 640x480")
    if not path.exists():
        raise ValueError(f"{word}: no such file, and not a size like 640x480 (WIDTHxHEIGHT)")
    size = _image_size(path)
    return _plan_clip(word, config) if size is None else _plan_image(word, size, config)


def _image_size(path: Path) -> HW | None:
    # sizes given as words need no image library
    from anyres.decode import MediaError as ImageError
    from anyres.decode import image_size

    try:
        return image_size(path)
    except ImageError as error:
        if error.kind != "format":
            raise
        return None


def _plan_image(name: str, size: HW, config: PlanConfig) -> PlannedMedium:
    plan = plan_image(size, config.grid, config.encoder.tile)
    detail = len(plan.canvases) - 1 if config.grid.layouts else None
    return _priced(name, size, plan, config, detail=detail, clip=None)


def _plan_clip(name: str, config: PlanConfig) -> PlannedMedium:
    # the reader stays out of the way of inputs that need none
    from video.reader import clip_meta

    try:
        meta = clip_meta(name)
    except MediaError as error:
        if error.reason != "not_media":
            raise
        raise ValueError(f"{name}: neither an image nor a video of a known format") from error
    indices = sample(meta, config.video)
    plan = plan_clip(meta.size, len(indices), config.video, config.encoder.tile)
    clip = _clip_row(meta, indices, frame_tokens(config.video, config.encoder.tile))
    return _priced(name, meta.size, plan, config, detail=None, clip=clip)


def _clip_row(meta: ClipMeta, indices: tuple[int, ...], tokens_per_frame: int) -> dict[str, Any]:
    header = asdict(meta)
    del header["size"]
    return {**header, "frames": len(indices), "frame_indices": list(indices), "tokens_per_frame": tokens_per_frame}


def _priced(
    name: str, size: HW, plan: VisualPlan, config: PlanConfig, detail: int | None, clip: dict[str, Any] | None
) -> PlannedMedium:
    pooled_first = clip is not None and config.video.pool_before_projector
    cost = price(plan, config.encoder, config.projector, config.llm, config.text_tokens, project_packed=pooled_first)
    factor = rope_factor(cost.sequence, config.llm.context)
    return PlannedMedium(name=name, size=size, plan=plan, price=cost, rope_factor=factor, detail=detail, clip=clip)


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
    choices = " ".join(f"{group}={chosen[group]}" for group in ("model", "encoder", "grid", "video", "llm"))
    side = config.encoder.tile.tok
    tile = f"{config.encoder.tile_px} px tiles of {side} x {side} tokens"
    return f"{choices}\n{tile}; context of {config.llm.context:,}, {config.text_tokens} of it for text"


def _together(media: Sequence[PlannedMedium], config: PlanConfig) -> str:
    if len(media) < 2:
        return ""
    tokens = sum(medium.plan.num_tokens for medium in media)
    factor = rope_factor(tokens + config.text_tokens, config.llm.context)
    share = 100 * tokens / config.llm.context
    return f"\n\nall {len(media)} in one prompt: {tokens:,} tokens, {share:.1f}% of the context, RoPE x{factor:g}"


if __name__ == "__main__":
    sys.exit(main())
