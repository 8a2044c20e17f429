"""Judge one answer to a question about an image, or compare two: python -m models.critic.main."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.critic.judge import Judgement


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right.

    What could not be read in the reply is told, not an error: the reply is printed either way.
    """
    parser = argparse.ArgumentParser(
        prog="python -m models.critic.main",
        description="Ask a critic for a score out of 100 (one answer), or for the better one (two answers).",
    )
    parser.add_argument("image", type=Path)
    parser.add_argument("question")
    parser.add_argument("answers", nargs="+", metavar="answer", help="one answer to score, or two to compare")
    parser.add_argument("--model", required=True, help='a checkpoint folder, or "pocket"')
    parser.add_argument("--adapter", type=Path, help="a LoRA folder to merge into the model")
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda, cuda:1")
    parser.add_argument("--max-new-tokens", type=int, default=4096)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    # torch and transformers take seconds to load: not for --help
    from anyres.decode import open_image
    from models.build import load
    from models.critic.judge import judge

    try:
        if len(arguments.answers) > 2:
            raise ValueError(f"expected one answer to score or two to compare, got {len(arguments.answers)}")
        image = open_image(arguments.image)
        model, processor = load(arguments.model, device=arguments.device, adapter=arguments.adapter)
        found = judge(
            model, processor, image, arguments.question, arguments.answers, max_new_tokens=arguments.max_new_tokens
        )
    except (ValueError, OSError) as error:
        print(f"models.critic: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(asdict(found)))
        return 0
    print(found.reply.text)
    print(_read(found) + (" | cut off by --max-new-tokens or the context" if found.reply.cut else ""))
    return 0


def _read(found: "Judgement") -> str:
    if found.score is not None:
        return f"score: {found.score.value} (rule: {found.score.rule})"
    assert found.preference is not None
    return f"preference: {found.preference.choice} (rule: {found.preference.rule})"


if __name__ == "__main__":
    sys.exit(main())
