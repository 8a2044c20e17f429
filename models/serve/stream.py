"""Pass on an answer while it is being generated, in pieces of text that will not change any more."""

from collections.abc import Callable, Sequence

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

INCOMPLETE = "\ufffd"


class TextStreamer(BaseStreamer):
    """Collects ids and emits the text they add.

    decode: ids to text. stops: strings that end the answer; what may become one is held back. emit: gets the pieces.
    """

    def __init__(
        self, decode: Callable[[Sequence[int]], str], stops: Sequence[str], emit: Callable[[str], None]
    ) -> None:
        self.decode, self.stops, self.emit = decode, tuple(stops), emit
        self.ids: list[int] = []
        self.text = ""

    def put(self, value: Tensor) -> None:
        """Take the next id [1]; the prompt, which comes first as [1, L], is passed over."""
        if value.ndim == 1:
            self.ids += value.tolist()
            self._emit(self._settled(self.decode(self.ids)))

    def end(self) -> None:
        """Emit what was held back."""
        self._emit(self.decode(self.ids))

    def _emit(self, text: str) -> None:
        if len(text) > len(self.text) and text.startswith(self.text):
            self.emit(text[len(self.text) :])
            self.text = text

    def _settled(self, text: str) -> str:
        """Return the text without an end that the next id may change: a cut character, the start of a stop string."""
        text = text.rstrip(INCOMPLETE)
        return text[: len(text) - max((_begun(text, stop) for stop in self.stops), default=0)]


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text a stop string begins with."""
    lengths = range(min(len(stop), len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
