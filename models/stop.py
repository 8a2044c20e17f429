"""Strings that end an answer, found in ids whatever tokens they fall into."""

from collections.abc import Sequence

from tokenizers import Tokenizer


class StopStrings:
    """Tells whether the text of ids holds one of `stops`, special tokens spelled out.

    Only as many ids at the end are read as the longest string may take: it is asked after each new id.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self.tokenizer, self.stops = tokenizer, tuple(stops)
        # a token holds a byte at least; one more id in front, which may lose a leading space
        self.reach = max(len(stop.encode()) for stop in stops) + 1

    def __call__(self, ids: Sequence[int]) -> bool:
        """Return whether the text of the last ids holds a stop string."""
        text = self.tokenizer.decode(list(ids[-self.reach :]), skip_special_tokens=False)
        return any(stop in text for stop in self.stops)


def earliest(text: str, stops: Sequence[str]) -> int:
    """Return where the first stop string begins in a text, or its length."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return min(found, default=len(text))
