"""anyres-convert: convert a checkpoint between layouts."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

LAYOUTS = ("official", "llava-hf", "anyres")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    parser = argparse.ArgumentParser(
        prog="anyres-convert",
        description="Convert a checkpoint folder to another layout. The layout of SOURCE is told by its files.",
    )
    parser.add_argument("layout", choices=LAYOUTS, help="the layout to write")
    parser.add_argument("source", type=Path, help="a run folder, a llava-hf folder or an official LLaVA-NeXT folder")
    parser.add_argument("target", type=Path, help="a new or empty folder")
    arguments = parser.parse_args(argv)
    # torch and transformers take seconds to load: not for --help
    from models.checkpoints.convert import convert

    try:
        checkpoint = convert(arguments.layout, arguments.source, arguments.target)
    except (ValueError, OSError) as error:
        print(f"anyres-convert: {error}", file=sys.stderr)
        return 2
    count = len(checkpoint.tensors)
    print(
        f"{arguments.source} ({checkpoint.spec.llm.kind}, {count} tensors) -> {arguments.target} ({arguments.layout})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
