"""What prompts have in common, as a tree: each stretch of positions that some of them share is read once.

A prompt is a row of codes, one a position; equal codes up to a position mean that a language model keeps the same
there.
Pure: whole numbers in, nodes out.

Legend: L positions of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The positions [start, end) that `rows` begin with alike behind those of `parent`; depth 0 has no parent."""

    start: int
    end: int
    parent: int | None
    depth: int
    rows: tuple[int, ...]

    @property
    def length(self) -> int:
        """Return the number of positions."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Trie:
    """Nodes, parents before children, and the node at which each row ends (None for a row without positions)."""

    nodes: tuple[Node, ...]
    leaf: tuple[int | None, ...]

    @property
    def positions(self) -> int:
        """Return how many positions all nodes have: what is read."""
        return sum(node.length for node in self.nodes)

    def path(self, node: int | None) -> list[int]:
        """Return the nodes from the root to `node`, itself included."""
        found: list[int] = []
        while node is not None:
            found.append(node)
            node = self.nodes[node].parent
        return found[::-1]


def build_trie(rows: Sequence[Codes]) -> Trie:
    """Return the tree of rows of codes; rows that are equal end at the same node."""
    order = sorted(range(len(rows)), key=lambda row: rows[row].astype(">i8").tobytes())
    nodes: list[Node] = []
    leaf: list[int | None] = [None] * len(rows)
    # ranges of sorted rows that are alike up to `start`, each under the node that holds what is before
    waiting: list[tuple[tuple[int, ...], int, int | None]] = [(tuple(order), 0, None)]
    while waiting:
        members, start, parent = waiting.pop()
        ended = [row for row in members if len(rows[row]) == start]
        going = tuple(row for row in members if len(rows[row]) > start)
        for row in ended:
            leaf[row] = parent
        for group in _split(going, rows, start):
            # rows are sorted: what the first and the last share, all share
            end = start + agreement(rows[group[0]][start:], rows[group[-1]][start:])
            depth = 0 if parent is None else nodes[parent].depth + 1
            nodes.append(Node(start=start, end=end, parent=parent, depth=depth, rows=group))
            waiting.append((group, end, len(nodes) - 1))
    return Trie(nodes=tuple(nodes), leaf=tuple(leaf))


def agreement(one_L: Codes, other_L: Codes) -> int:
    """Return how many codes two rows begin with alike."""
    length = min(len(one_L), len(other_L))
    differs = np.flatnonzero(one_L[:length] != other_L[:length])
    return int(differs[0]) if len(differs) else length


def _split(members: tuple[int, ...], rows: Sequence[Codes], start: int) -> list[tuple[int, ...]]:
    groups: dict[int, list[int]] = {}
    for row in members:
        groups.setdefault(int(rows[row][start]), []).append(row)
    return [tuple(group) for group in groups.values()]
