"""anyres-ask: ask a model about images and clips in the terminal; the answer is printed while it is written."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyres.limits import LIMITS
from conf.arguments import split_arguments
from conf.build import build
from conf.looks import grid_named, video_named
from conf.main import COMPOSE_ERRORS, Composed, compose, one_line, told
from conf.own import for_hydra, settings
from conf.schema.ask import AskConfig
from models.serve.inputs import Inputs, split_inputs, split_line

if TYPE_CHECKING:
    from anyres.grid import GridSpec
    from models.example import Medium
    from models.serve.ask import Session
    from models.serve.streamed import Streamed
    from models.shapes import MediumLook
    from models.spec import ModelSpec
    from video.clip import VideoSpec


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known={"--json"})
        for composed in compose("ask", [for_hydra(word) for word in arguments.overrides]):
            config = build(AskConfig, composed.mapping)
            _run(split_inputs(arguments.bare), config, composed, as_json="--json" in arguments.flags)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-ask", error)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0


def _run(inputs: Inputs, config: AskConfig, composed: Composed, as_json: bool) -> None:
    # loading torch and transformers takes seconds: not for --help, and not before the words make sense
    from models.serve.report import media_lines

    session, streamed = open_session(inputs, config, composed.chosen)
    paths = list(inputs.paths)
    if inputs.question is not None:
        _answer(session, streamed, Inputs(paths=(), question=inputs.question), paths, config, as_json, alone=True)
        return
    if not as_json:
        print("\n".join(media_lines(session, paths)), "\nask; Ctrl-D ends", sep="")
    for line in _questions(prompt="" if as_json else "\n> "):
        try:
            _answer(session, streamed, split_line(line), paths, config, as_json, alone=False)
        except (ValueError, OSError) as error:
            print(f"anyres-ask: {one_line(error)}", file=sys.stderr)


def _answer(
    session: "Session",
    streamed: "Streamed",
    given: Inputs,
    paths: list[Path],
    config: AskConfig,
    as_json: bool,
    alone: bool,
) -> None:
    """Print the answer to a question, about media given with it too; their paths join `paths`.

    alone: the only question, whose media are listed behind its answer.
    """
    from models.serve.report import json_answer, media_lines, tokens_line

    media, looks = _open(given, session.look.grid, session.video, config, session.processor.spec)
    media = streamed.encoded(media, session.video, looks)
    shown = [*paths, *given.paths]
    if as_json:
        answer = session.ask(given.question or "", media=media, looks=looks)
        print(json.dumps(json_answer(session, shown, answer)), flush=True)
    else:
        answer = session.ask(given.question or "", lambda piece: print(piece, end="", flush=True), media, looks)
        print()
        if alone or media:
            print("\n".join(["", *media_lines(session, shown)]))
        print(tokens_line(session, answer))
    # only once it was answered: a question that fails leaves everything as it was
    paths += given.paths


def _open(
    given: Inputs, grid: "GridSpec | None", video: "VideoSpec", config: AskConfig, spec: "ModelSpec"
) -> "tuple[tuple[Medium, ...], tuple[MediumLook, ...]]":
    """Return the media of a command line or a line, and how each is looked at where they differ, or nothing."""
    from models.serve.opening import Presets, open_looked_at

    text = None
    if config.most_frames:
        from models.room import text_share

        text = text_share(spec, config.max_new_tokens)
    # what is kept on the disk is encoded piece by piece, however short
    stream = config.stream_frames if config.cache_folder is None else 0
    presets = Presets(grid=grid_named, video=video_named)
    limits = config.media.limits(LIMITS)
    names = given.looks or (None,) * len(given.paths)
    opened = [
        open_looked_at(path, name, presets, video, config.reader, spec, text, config.pixels, grid, stream, limits)
        for path, name in zip(given.paths, names, strict=True)
    ]
    looks = tuple(one.look for one in opened)
    return tuple(one.medium for one in opened), looks if given.looks or config.most_frames else ()


def open_session(inputs: Inputs, config: AskConfig, chosen: dict[str, str]) -> "tuple[Session, Streamed]":
    """Return a session, and what encodes long clips for it.

    Media are read and planned first, then the model is built with the RoPE factor that they need.
    """
    from anyres.grid import GridSpec
    from models.build import load
    from models.checkpoints.load import read_checkpoint
    from models.checkpoints.shipped import folder_of
    from models.processor import Processor
    from models.serve.ask import Look, Session, lowered, needed_factor
    from models.serve.streamed import Streamed
    from video.clip import VideoSpec

    checkpoint = read_checkpoint(folder_of(config.source))
    look = Look(
        grid=settings(GridSpec, config.grid, checkpoint.spec.grid, chosen, "grid"),
        video=settings(VideoSpec, config.video, checkpoint.spec.video, chosen, "video"),
        times=config.times,
        budget=config.budget,
    )
    factor = config.rope_factor
    told = checkpoint.spec if factor == "auto" else replace(checkpoint.spec, rope_factor=factor)
    media, looks = _open(inputs, look.grid, look.video or told.video, config, told)
    look = replace(look, media=looks)
    processor = Processor(told, checkpoint.tokenizer)
    if config.fewer_frames:
        media = lowered(processor, media, look, inputs.question, config.max_new_tokens)
    if factor == "auto":
        factor = needed_factor(processor, media, look, inputs.question, config.max_new_tokens)
    model, processor = load(
        config.source,
        device=device_named(config.device),
        rope_factor=factor,
        rope_type=config.rope_type,
        compute=config.compute,
    )
    if config.pixels != "exact":
        processor = Processor(processor.spec, processor.tokenizer, pixels=config.pixels)
    streamed = Streamed(model, processor, None if config.cache_folder is None else Path(config.cache_folder))
    session = Session(
        model=model,
        processor=processor,
        media=streamed.encoded(media, look.video or processor.spec.video, looks),
        look=look,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        stop=config.stop,
        seed=config.seed,
        history=config.history,
    )
    return session, streamed


def device_named(name: str) -> str:
    """Return "cpu", "cuda" or "cuda:N" for a device's name or "auto"; ValueError for one that is not there."""
    import torch

    gpu = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if gpu else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    if name != "cpu" and not gpu:
        raise ValueError(f"device: {name} was asked for, but torch finds no GPU here")
    return name


def _questions(prompt: str) -> Iterator[str]:
    """Yield the lines that are typed, or piped in, until the end of input; empty ones are passed over."""
    while True:
        try:
            question = input(prompt).strip()
        except EOFError:
            if prompt:
                print()
            return
        if question:
            yield question


if __name__ == "__main__":
    sys.exit(main())
