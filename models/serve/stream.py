"""Pass on an answer while it is being generated, in pieces of text that will not change any more."""

from collections.abc import Callable, Sequence

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

INCOMPLETE = "\ufffd"


class TextStreamer(BaseStreamer):
    """Collects ids and emits the text they add.

    decode: ids to text. stop: a string that ends the answer; what may become it is held back. emit: gets the pieces.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: str, emit: Callable[[str], None]) -> None:
        self.decode, self.stop, self.emit = decode, stop, emit
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
        for length in range(min(len(self.stop), len(text)), 0, -1):
            if text.endswith(self.stop[:length]):
                return text[:-length]
        return text
