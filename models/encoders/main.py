"""anyres-plan check: check encoders without weights, by their names or as a command line changes them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files

from conf.arguments import split_arguments
from conf.build import build
from conf.main import COMPOSE_ERRORS, compose, told
from models.encoders.check import Checked, check, table
from models.encoders.spec import EncoderSpec

_USAGE = "expected `check all`, or encoders like `check encoder=clip-l14-336 encoder=siglip-so400m-384`"


def main(argv: Sequence[str]) -> int:
    """Run the command; return 0, 1 when an encoder has a fault, or 2 for a command line that can be put right."""
    try:
        arguments = split_arguments(argv, known={"--json"})
        rows = check_all(arguments.bare, arguments.overrides)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-plan check", error)
    print(json.dumps([asdict(row) for row in rows], indent=2) if "--json" in arguments.flags else table(rows))
    return 1 if any(row.faults for row in rows) else 0


def check_all(bare: Sequence[str], overrides: Sequence[str]) -> list[Checked]:
    """Return what is true of every named encoder; other overrides hold for each. Raises ValueError without a name."""
    names = [name for word in overrides if word.startswith("encoder=") for name in word[8:].split(",")]
    others = [word for word in overrides if not word.startswith("encoder=")]
    if list(bare) == ["all"] and not names:
        names = sorted(
            file.name[:-5] for file in files("conf").joinpath("encoder").iterdir() if file.name[-5:] == ".yaml"
        )
    elif bare or not names:
        raise ValueError(f"{' '.join(bare) or 'no encoder'}: {_USAGE}")
    rows = []
    for name in names:
        (composed,) = compose("plan", [f"encoder={name}", *others])
        rows.append(check(name, build(EncoderSpec, composed.mapping["encoder"], where="encoder")))
    return rows
