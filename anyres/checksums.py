"""Checksums that were recorded of media files, and files compared with them.

They stand in a file as sha256sum and md5sum write it: a digest and a path on each line, relative to that file's folder.
How many digits a digest has says which one it is. No torch, PIL or numpy.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from anyres.errors import MediaError
from anyres.limits import MediaLimits, Unlisted
from anyres.local import open_local

# by the number of hexadecimal digits
ALGORITHMS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
# files whose digests are remembered
REMEMBERED = 1 << 17
BLOCK_BYTES = 1 << 20

# digest, space, then a space or the mark of binary mode, name; a backslash in front of a name with escapes
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]+) [ *](.+)")
# as BSD writes it
_TAGGED = re.compile(r"(\\?)(MD5|SHA1|SHA224|SHA256|SHA384|SHA512) \((.+)\) = ([0-9A-Fa-f]+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMedia:
    """The setting `media` of commands: a file of checksums or None, and what becomes of files that it does not list."""

    checksums: str | None = None
    unlisted: Unlisted = "refuse"

    def limits(self, limits: MediaLimits) -> MediaLimits:
        """Return limits that refuse files which differ from the checksums.

        Raises ValueError where these cannot be read.
        """
        if self.checksums is not None:
            load_checksums(self.checksums)
        return replace(limits, checksums=self.checksums, unlisted=self.unlisted)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checksums:
    """Digests by path: what a file of checksums lists. folders: its own, as it was given and as it really is."""

    file: Path
    folders: tuple[str, ...]
    digests: dict[str, bytes]

    def of(self, path: str | os.PathLike[str]) -> bytes | None:
        """Return the digest listed for a file, whatever links lead to it; None where it is not listed."""
        given = os.path.abspath(path)  # noqa: PTH100
        there = os.path.join(os.path.realpath(os.path.dirname(given)), os.path.basename(given))  # noqa: PTH118 PTH119 PTH120
        for name in dict.fromkeys((given, there, os.path.realpath(given))):
            for folder in self.folders:
                listed = name[len(folder) :] if name.startswith(folder) else name
                if listed in self.digests:
                    return self.digests[listed]
        return None


def check_file(path: str | os.PathLike[str], limits: MediaLimits) -> None:
    """Compare a local file with the digest that `limits.checksums` lists for it; without checksums do nothing.

    A file is digested once in a process, and again when its size or time of change is another. Raises MediaError of
    kind "checksum" where it differs, and where it is not listed unless limits.unlisted is "read"; ValueError where the
    checksums cannot be read.
    """
    if limits.checksums is None:
        return
    listed = load_checksums(limits.checksums)
    expected = listed.of(path)
    if expected is None:
        if limits.unlisted == "read":
            return
        hint = "list it (sha256sum FILE), or read such files unchecked (unlisted=read)"
        raise MediaError(path, "checksum", f"not listed in {listed.file}", hint)
    algorithm = ALGORITHMS[2 * len(expected)]
    with open_local(path) as file:
        state = os.fstat(file.fileno())
    found = _digest(os.path.abspath(path), state.st_size, state.st_mtime_ns, algorithm)  # noqa: PTH100
    if found != expected:
        detail = f"its {algorithm} is {found.hex()[:16]}..., {listed.file} lists {expected.hex()[:16]}..."
        raise MediaError(path, "checksum", detail)


def load_checksums(path: str | os.PathLike[str]) -> Checksums:
    """Return what a file of checksums lists, read again only when it has changed.

    Raises ValueError naming the file, and the line where one is not understood or contradicts another.
    """
    try:
        state = os.stat(path)  # noqa: PTH116
        return _loaded(os.path.abspath(path), state.st_size, state.st_mtime_ns)  # noqa: PTH100
    except OSError as error:
        raise ValueError(f"{path}: checksums cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=8)
def _loaded(path: str, size: int, changed_ns: int) -> Checksums:
    folder = os.path.dirname(path)  # noqa: PTH120
    digests: dict[str, bytes] = {}
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:  # noqa: PTH123
        for number, line in enumerate(file, start=1):
            for name, digest in _entry(line, f"{path}, line {number}"):
                whole = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
                key = whole.removeprefix(_with_slash(folder))
                if digests.setdefault(key, digest) != digest:
                    raise ValueError(f"{path}, line {number}: another digest of {name} stands before it")
    folders = dict.fromkeys((_with_slash(folder), _with_slash(os.path.realpath(folder))))
    return Checksums(file=Path(path), folders=tuple(folders), digests=digests)


def _entry(line: str, where: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and digest of a line; nothing for an empty one or a comment."""
    line = line.rstrip("\r\n")
    if not line.strip() or line.startswith("#"):
        return
    if tagged := _TAGGED.fullmatch(line):
        escaped, algorithm, name, digits = tagged.groups()
    elif plain := _LINE.fullmatch(line):
        escaped, digits, name = plain.groups()
        algorithm = ALGORITHMS.get(len(digits), "")
    else:
        raise ValueError(f"{where}: expected a digest, two spaces and a path, got {line[:80]!r}")
    if not algorithm or ALGORITHMS.get(len(digits)) != algorithm.lower():
        known = ", ".join(f"{name} ({length})" for length, name in ALGORITHMS.items())
        raise ValueError(f"{where}: a digest of {len(digits)} digits, expected one of {known}")
    yield re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], name) if escaped else name, bytes.fromhex(digits)


@lru_cache(maxsize=REMEMBERED)
def _digest(path: str, size: int, changed_ns: int, algorithm: str) -> bytes:
    # that of a file, not of a secret: md5 is allowed everywhere
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with open_local(path) as file:
        while block := file.read(BLOCK_BYTES):
            hasher.update(block)
    return hasher.digest()


def _with_slash(folder: str) -> str:
    return folder if folder.endswith(os.sep) else folder + os.sep
