"""When a process begins to use the compiled loops (kernels/pixels): once it has worked as long as they take to load.

Their numbers are those of PIL and torch, bit for bit, so nobody can tell when; a process that prepares one picture does
not wait for them, and one that prepares thousands loses at most that time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kernels.pixels.op import loops

_LOAD_S = 0.5


class Compiled:
    """Whether the loops are used, in this process."""

    def __init__(self, load_s: float = _LOAD_S) -> None:
        self._left_s = load_s

    def ready(self) -> bool:
        """Return whether to use them, and load them if it is time."""
        return self._left_s <= 0 and loops() is not None

    def load(self) -> bool:
        """Load them now; return whether there are any."""
        self._left_s = 0.0
        return self.ready()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of work that they would do sooner."""
        start_s = time.perf_counter()
        yield
        self._left_s -= time.perf_counter() - start_s


COMPILED = Compiled()
