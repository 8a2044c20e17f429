"""Announce clips: the text that tells how long a clip is and when its frames are, behind its placeholder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from models.example import PLACEHOLDER, Turn
from video.clip import VideoClip, VideoSpec
from video.sampling import time_instruction, trained_times

if TYPE_CHECKING:
    from models.example import Medium

# whether clips are announced; "released": with the times that the released loader tells, which are wrong in places
Times = bool | Literal["released"]


def announce(
    turns: Sequence[Turn], media: Sequence["Medium"], times: Times = True, videos: Sequence[VideoSpec] = ()
) -> tuple[Turn, ...]:
    """Return the turns with a line about its times behind each clip's placeholder, as released models are trained.

    "<image>\\nQ" becomes "<image>\\n{times}\\nQ". Pictures are not announced, nor are placeholders without a medium.
    times: True for each frame's own; "released" for those of video.sampling.trained_times, by `videos`, how each
    medium was sampled.
    """
    waiting = iter(zip(media, videos or (None,) * len(media), strict=True))
    told = []
    for turn in turns:
        before, *behind = turn.text.split(PLACEHOLDER)
        pieces = [_announced(next(waiting, None), piece, times) for piece in behind]
        told.append(replace(turn, text=before + "".join(pieces)))
    return tuple(told)


def _announced(medium: "tuple[Medium, VideoSpec | None] | None", behind: str, times: Times) -> str:
    clip, video = (None, None) if medium is None else medium
    if not isinstance(clip, VideoClip):
        return PLACEHOLDER + behind
    shown_s = clip.times_F.tolist()
    if times == "released":
        shown_s = trained_times(clip.meta, video or VideoSpec(), clip.indices)
    sentence = time_instruction(clip.meta.duration_s, shown_s)
    return f"{PLACEHOLDER}\n{sentence}\n" + behind.removeprefix("\n")
