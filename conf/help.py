"""Keep, of the groups that a command's --help shows, those that it takes, wrapped to the width of a terminal."""

import textwrap
from collections.abc import Collection

_HEAD = "== Groups"
_NEXT = "== "
_WIDTH = 110


def own_groups(text: str, groups: Collection[str]) -> str:
    """Return hydra's help `text` with only these groups, a paragraph each; without the section where none is left.

    The section ends at its first empty line. Empty lines that follow each other, or end the text, are one.
    """
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        inside = line.startswith(_HEAD) if line.startswith(_NEXT) else inside and bool(line)
        if line.startswith(_HEAD):
            lines += [line] if groups else []
        elif not inside:
            lines += [line] if line or (lines and lines[-1]) else []
        elif line.partition(":")[0] in groups:
            lines.append(textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False))
    return "\n".join(lines).rstrip() + "\n"
