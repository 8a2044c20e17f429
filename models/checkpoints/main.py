"""anyres-convert: convert a checkpoint between layouts."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.checkpoints.tensors import Written

LAYOUTS = ("official", "llava-hf", "anyres")
DTYPES = ("float32", "float16", "bfloat16")
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    parser = argparse.ArgumentParser(
        prog="anyres-convert",
        description="Convert a checkpoint folder to another layout. The layout of SOURCE is told by its files.",
    )
    parser.add_argument("layout", choices=LAYOUTS, help="the layout to write")
    parser.add_argument("source", type=Path, help="a run folder, llava-hf, official or LoRA folder")
    parser.add_argument("target", type=Path, help="a new or empty folder")
    parser.add_argument("--shard-size", type=_size, default=5 * 10**9, help="largest weights file: 2GB, 500MB (5GB)")
    parser.add_argument("--dtype", choices=DTYPES, help="round the weights to this dtype (default: keep every bit)")
    parser.add_argument("--template", help="prompt template, instead of the one that SOURCE tells")
    parser.add_argument("--base", type=Path, help="the base of SOURCE, a LoRA folder (default: what its config names)")
    parser.add_argument("--pickles", action="store_true", help="read torch files (.bin), with weights_only")
    arguments = parser.parse_args(argv)
    # torch and transformers take seconds to load: not for --help
    from models.checkpoints.convert import convert

    try:
        checkpoint = convert(
            arguments.layout,
            arguments.source,
            arguments.target,
            shard_bytes=arguments.shard_size,
            dtype=arguments.dtype,
            template=arguments.template,
            base=arguments.base,
            pickles=arguments.pickles,
            report=_show,
        )
    except (ValueError, OSError) as error:
        print(f"anyres-convert: {error}", file=sys.stderr)
        return 2
    count = len(checkpoint.tensors)
    print(
        f"{arguments.source} ({checkpoint.spec.llm.kind}, {count} tensors) -> {arguments.target} ({arguments.layout})"
    )
    if arguments.dtype:
        print(f"weights rounded to {arguments.dtype}")
    return 0


def _show(written: "Written") -> None:
    share = f"{written.done / 1e9:.2f} of {written.total / 1e9:.2f} GB"
    print(f"{written.name}: {'kept' if written.kept else 'written'}, {share}", file=sys.stderr)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(B|KB|MB|GB)?", text.upper())
    if found is None or int(float(found[1]) * UNITS[found[2] or "B"]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 2GB, 500MB or a number of bytes")
    return int(float(found[1]) * UNITS[found[2] or "B"])


if __name__ == "__main__":
    sys.exit(main())
