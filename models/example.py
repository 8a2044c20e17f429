"""One conversation with its media, before any planning."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

    from anyres.picture import Picture
    from video.clip import VideoClip

    Medium = Image | Picture | VideoClip

PLACEHOLDER = "<image>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message. Each "<image>" in its text stands for the next medium of the example, image or clip."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """A conversation: its media in the order of their placeholders, and its turns.

    opening: words that the answer to the last user turn already begins with; the model goes on behind them.
    """

    id: str
    media: "tuple[Medium, ...]"
    turns: tuple[Turn, ...]
    opening: str = ""
