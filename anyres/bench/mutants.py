"""Read the mutants of a hostile corpus' pictures and compare their pixels with those of the files they were made from.

    python -m anyres.bench.mutants --corpus DIR [--mode open|exact|fast|draft] [--known] [--out FILE.json]

DIR holds a manifest.json that names each mutant's original. --known: with checksums of the originals, as if each had
been damaged where it lies. Prints a table by format: refused (a MediaError), right (the same pixels), other (other
pixels, or another size, without a word); and bad: untyped errors, hangs, crashes. The exit status is 1 when there is
one of the last, or with --known one of other pixels.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyres.bench.contained import Contained, answer_lines
from anyres.bench.hostile import MODES

Item = Mapping[str, Any]
Rows = dict[str, dict[str, str]]
OUTCOMES = ("refused", "right", "other", "bad")
PATIENCE = 15.0


def mutants_of(corpus: Path, kind: str) -> Iterator[tuple[Item, Item]]:
    """Yield each mutant of a kind with the item that it was made from."""
    items = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["items"]
    by_id = {item["id"]: item for item in items}
    for item in items:
        if "mutant" in item["tags"] and item["kind"] == kind:
            yield item, by_id[item["expect"]["mutant_of"]]


def write_known(corpus: Path, pairs: Sequence[tuple[Item, Item]], file: Path) -> None:
    """Record for each mutant the checksum of its original."""
    lines = [f"{original['sha256']}  {(corpus / mutant['file']).absolute()}\n" for mutant, original in pairs]
    file.write_text("".join(lines), encoding="utf-8")


def tabled(rows: Mapping[str, Mapping[str, str]], outcomes: Sequence[str]) -> str:
    """Return a table of how often each outcome was, by the rows' `group`, and of all."""
    groups = sorted({row["group"] for row in rows.values()})
    lines = [f"| file | mutants | {' | '.join(outcomes)} |", "| --- |" + " ---: |" * (1 + len(outcomes))]
    for group in (*groups, "all"):
        counts = Counter(row["outcome"] for row in rows.values() if group in (row["group"], "all"))
        lines.append(f"| {group} | {counts.total()} | {' | '.join(str(counts[word]) for word in outcomes)} |")
    return "\n".join(lines)


def judged(corpus: Path, kind: str, command: Sequence[str], known: Path | None, patience: float) -> Rows:
    """Return what a process that is asked for one mutant at a time says of each of a kind, by its id."""
    pairs = list(mutants_of(corpus, kind))
    if known is not None:
        write_known(corpus, pairs, known)
        command = [*command, "--known-file", str(known)]
    process = Contained(list(command))
    rows = {}
    for mutant, original in pairs:
        paths = {"path": str(corpus / mutant["file"]), "original": str(corpus / original["file"])}
        found = process.ask(paths, patience)
        rows[mutant["id"]] = {"group": "?", "outcome": "bad", "words": found} if isinstance(found, str) else found
    process.stop()
    return rows


def run(corpus: Path, mode: str, known: Path | None) -> Rows:
    """Return group, outcome and words by the id of each mutant."""
    command = [sys.executable, "-m", "anyres.bench.mutants", "--child", "--mode", mode]
    return judged(corpus, "image", command, known, PATIENCE)


def child(mode: str, known: str | None) -> None:
    """Answer for one mutant at a time."""
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from anyres.decode import open_image
    from anyres.errors import MediaError
    from anyres.limits import LIMITS, MediaLimits
    from anyres.reading import read_picture

    limits = replace(LIMITS, checksums=known)

    def pixels(path: str, limits: MediaLimits) -> NDArray[np.uint8]:
        if mode == "open":
            return np.asarray(open_image(path, limits))
        # a draft that needs every pixel
        return np.asarray(read_picture(path, mode, lambda size: size, limits).pixels)

    @lru_cache(maxsize=2)
    def right(path: str) -> tuple[str, NDArray[np.uint8]]:
        with Image.open(path) as image:
            compression = str(image.info.get("compression", "")) if image.format == "TIFF" else ""
            return f"{image.format} {compression}".strip(), pixels(path, LIMITS)

    def answer(asked: Mapping[str, str]) -> dict[str, str]:
        group, wanted = right(asked["original"])
        try:
            found = pixels(asked["path"], limits)
        except MediaError as error:
            return {"group": group, "outcome": "refused", "words": error.kind}
        except Exception as error:
            return {"group": group, "outcome": "bad", "words": f"{type(error).__name__}: {error}"[:300]}
        same = found.shape == wanted.shape and np.array_equal(found, wanted)
        return {"group": group, "outcome": "right" if same else "other", "words": ""}

    answer_lines(answer)


def main() -> int:
    """Run the command; return 1 when a mutant did what it must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--known", action="store_true", help="with checksums of the originals")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--known-file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.mode, given.known_file)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = run(given.corpus, given.mode, Path(folder) / "SHA256SUMS" if given.known else None)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1))
    print(tabled(rows, OUTCOMES))
    for name, row in rows.items():
        if row["outcome"] == "bad":
            print(f"  {name}: {row['words']}")
    outcomes = {row["outcome"] for row in rows.values()}
    return 1 if "bad" in outcomes or (given.known and "other" in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
