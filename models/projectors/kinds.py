"""The kinds of projector by the names that checkpoints have for them; what each is made of."""

import re
from typing import NamedTuple

KINDS = "linear, mlpNx_gelu, mlpNx_resMx_gelu (N and M from 1 to 8), identity"
_MLP = re.compile(r"mlp([1-8])x(?:_res([1-8])x)?_gelu")


class Parts(NamedTuple):
    """How many linear layers, with GELU between them, and how many residual blocks after them."""

    linears: int
    residuals: int

    @property
    def square(self) -> int:
        """Return how many of the matrices map the output width to itself: all but the first; two in a block."""
        return max(self.linears - 1, 0) + 2 * self.residuals


def parts_of(kind: str) -> Parts:
    """Return what a kind is made of.

    Raises ValueError for an unknown kind, and for "pooler", which changes the number of tokens of a tile.
    """
    if kind == "identity":
        return Parts(linears=0, residuals=0)
    if kind == "linear":
        return Parts(linears=1, residuals=0)
    if kind == "pooler":
        raise ValueError(
            "projector.kind: 'pooler' merges 2 x 2 tokens of a tile in a convolution, so it would change every plan; "
            f"expected one of {KINDS}"
        )
    found = _MLP.fullmatch(kind)
    if found is None:
        raise ValueError(f"projector.kind: expected one of {KINDS}, got {kind!r}")
    return Parts(linears=int(found.group(1)), residuals=int(found.group(2) or 0))
