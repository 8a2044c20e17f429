"""Announce clips: the text that tells how long a clip is and when its frames are, behind its placeholder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from models.example import PLACEHOLDER, Turn
from video.clip import VideoClip
from video.sampling import time_instruction

if TYPE_CHECKING:
    from models.example import Medium


def announce(turns: Sequence[Turn], media: Sequence["Medium"]) -> tuple[Turn, ...]:
    """Return the turns with a line about its times behind each clip's placeholder, as released models are trained.

    "<image>\\nQ" becomes "<image>\\n{times}\\nQ". Pictures are not announced, nor are placeholders without a medium.
    """
    waiting = iter(media)
    told = []
    for turn in turns:
        before, *behind = turn.text.split(PLACEHOLDER)
        pieces = [_announced(next(waiting, None), piece) for piece in behind]
        told.append(replace(turn, text=before + "".join(pieces)))
    return tuple(told)


def _announced(medium: "Medium | None", behind: str) -> str:
    if not isinstance(medium, VideoClip):
        return PLACEHOLDER + behind
    times = time_instruction(medium.meta.duration_s, medium.times_F.tolist())
    return f"{PLACEHOLDER}\n{times}\n" + behind.removeprefix("\n")
