"""anyres-plan: print what images and clips cost before a weight is loaded, and draw it."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyres.media_size import parse_size
from anyres.report import PlannedMedium, json_row, notes_list, parameters_line, table
from conf.arguments import split_arguments
from conf.build import build
from conf.inputs import Input, plan_inputs, read_inputs
from conf.main import COMPOSE_ERRORS, compose, told
from conf.schema.plan import PlanConfig
from models.parameters import count
from video.budget import rope_factor

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
            for index, composed in enumerate(compose("plan", overrides)):
                config = build(PlanConfig, composed.mapping)
                text = report(arguments.bare, config, as_json="--json" in arguments.flags)
                gap = "\n" if index else ""
                print(text if "--json" in arguments.flags else f"{gap}{_headline(composed.chosen, config)}\n\n{text}")
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-plan", error)
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
    inputs = read_inputs(words)
    together = config.together or config.budget is not None or config.fewer_frames
    media = plan_inputs(inputs, config, together)
    if picture is not None:
        # drawing needs fonts and arrays, planning does not
        from anyres.draw import draw_media

        draw_media(media, [_frames(medium) for medium in media], picture)
    if as_json:
        return "[\n" + ",\n".join(f"  {json.dumps(json_row(medium))}" for medium in media) + "\n]"
    return table(media) + _clips(media, config) + _one_prompt(inputs, media, config, together) + _model(config)


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
    context, factor = config.llm.context, config.rope_factor
    scaled = "" if factor is None or factor == 1 else f" x {factor:g} = {context * factor:,.0f}"
    return f"{choices}\n{tile}; context of {context:,}{scaled}, {config.text_tokens} of it for text"


def _clips(media: Sequence[PlannedMedium], config: PlanConfig) -> str:
    """Return a line for each clip: how many of its frames the context holds."""
    spec, lines = config.spec, []
    for medium in media:
        if medium.clip is not None:
            room = f"{spec.context:,} positions (RoPE x{spec.rope_factor:g}), {config.text_tokens} of them text"
            note = "" if medium.clip["frames_exact"] else "; which frames these are depends on how it was encoded"
            fit = medium.clip["frames_that_fit"]
            lines.append(f"\n{medium.name}: {medium.clip['frames']} frames; at most {fit:,} fit {room}{note}")
    return "\n" + "".join(lines) if lines else ""


def _one_prompt(inputs: Sequence[Input], media: Sequence[PlannedMedium], config: PlanConfig, together: bool) -> str:
    """Return what all inputs cost in one prompt, planned as the model plans several, or nothing for one input."""
    if len(media) < 2 and config.budget is None and not config.fewer_frames:
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
    how += ", clips with fewer frames where they must (fewer_frames=true)" if config.fewer_frames else ""
    cost = f"{tokens:,} tokens{budget}, {share:.1f}% of the context, RoPE x{factor:g}"
    return f"\n\nall {len(media)} in one prompt{how}: {cost}"


def _model(config: PlanConfig) -> str:
    """Return the parameters of the model, and what is to know of its preset."""
    told = {topic: note for topic, note in config.model.notes.items() if note is not None}
    notes = f"\n\nnotes on {config.model.name}:\n{notes_list(told)}" if told else ""
    return f"\n\n{parameters_line(count(config.spec))}{notes}"


if __name__ == "__main__":
    sys.exit(main())
