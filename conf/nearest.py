"""Say what was expected where a name is not known: the nearest names, or all of them. A leaf of the imports."""

import difflib
from collections.abc import Sequence
from pathlib import Path

# lists up to here are shown whole even where a name is near
_SHORT = 12


def near(word: str, known: Sequence[str]) -> str:
    """Return "did you mean A or B?" with the known names nearest to `word`, or nothing where none is near."""
    names = difflib.get_close_matches(word, known, n=3)
    return f"did you mean {' or '.join(names)}?" if names else ""


def expected(word: str, known: Sequence[str]) -> str:
    """Return "did you mean A or B?" with the known names nearest to `word`, and all names where they are few or far."""
    hint = near(word, known)
    listed = f"expected one of {', '.join(known)}" if known else "there is none"
    if hint and len(known) > _SHORT:
        return f"{hint} --help lists all {len(known)}"
    return f"{hint} {listed}".strip()


def near_file(path: Path) -> str:
    """Return ", did you mean FILE?" with the names nearest to a missing file's in its folder, or nothing."""
    try:
        names = sorted(other.name for other in path.parent.iterdir())
    except OSError:
        # no such folder, or one that may not be read: nothing to suggest from
        return ""
    # only a slip of the pen: "b.json" is not meant by "a.json"
    close = difflib.get_close_matches(path.name, names, n=2, cutoff=0.8)
    return f", did you mean {' or '.join(close)}?" if close else ""
