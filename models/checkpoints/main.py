"""anyres-convert: convert a checkpoint between layouts."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, compose, told
from conf.nearest import expected
from conf.schema.convert import ConvertConfig

if TYPE_CHECKING:
    from models.checkpoints.tensors import Written

LAYOUTS = ("official", "llava-hf", "anyres")
PICKLES = "--pickles"
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known={PICKLES})
        for composed in compose("convert", arguments.overrides):
            config = build(ConvertConfig, composed.mapping)
            print(_convert(arguments.bare, config, pickles=PICKLES in arguments.flags))
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-convert", error)
    except KeyboardInterrupt:
        print("anyres-convert: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _convert(words: Sequence[str], config: ConvertConfig, pickles: bool) -> str:
    """Convert, and return what was done, for people. Raises ValueError for wrong words, sizes and folders."""
    if len(words) != 3:
        raise ValueError(f"expected LAYOUT SOURCE TARGET, got {len(words)} words: {' '.join(words) or 'none'}")
    layout, source, target = words
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r}: {expected(layout, LAYOUTS)}")
    shard_bytes = _bytes(str(config.shard_size))
    # torch and transformers take seconds to load: not for --help
    from models.checkpoints.convert import convert
    from models.checkpoints.shipped import folder_of

    checkpoint = convert(
        layout,
        folder_of(source),
        Path(target),
        shard_bytes=shard_bytes,
        dtype=config.dtype,
        template=config.template,
        base=None if config.base is None else Path(config.base),
        pickles=pickles,
        report=_show,
    )
    tensors = len(checkpoint.tensors)
    rounded = "" if config.dtype is None else f"\nweights rounded to {config.dtype}"
    return f"{source} ({checkpoint.spec.llm.kind}, {tensors} tensors) -> {target} ({layout}){rounded}"


def _show(written: "Written") -> None:
    share = f"{written.done / 1e9:.2f} of {written.total / 1e9:.2f} GB"
    print(f"{written.name}: {'kept' if written.kept else 'written'}, {share}", file=sys.stderr)


def _bytes(size: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(B|KB|MB|GB)?", size.upper())
    if found is None or int(float(found[1]) * UNITS[found[2] or "B"]) < 1:
        raise ValueError(f"shard_size: expected a size such as 2GB, 500MB or a number of bytes, got {size!r}")
    return int(float(found[1]) * UNITS[found[2] or "B"])


if __name__ == "__main__":
    sys.exit(main())
