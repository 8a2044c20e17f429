"""Compare what a reader returned with what the manifest of a hostile corpus expects of that file."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from video.bench import barcode
from video.clip import VideoClip

Item = Mapping[str, Any]
# what a header promises is known for these, so fewer frames are a part of the clip
KNOWN_SHORT = ("v_mdat_cut", "v_corrupt", "v_mkv_cut")


def judge(item: Item, clip: VideoClip, wanted: Sequence[int], num_frames: int) -> str:
    """Return "ok", "flagged" (wrong, and the result says so), or what is wrong without a word.

    wanted: the frames asked for, out of `num_frames` that the reader counts.
    """
    expected = item["expect"]
    if expected["outcome"] == "clean_error":
        return f"wrong: accepted ({len(clip.indices)} frames)"
    frames_FHWC = clip.frames_FHWC
    if len(frames_FHWC) != len(wanted):
        return f"wrong: {len(frames_FHWC)} frames for {len(wanted)}"
    # pictures without a number are judged by their count, size and times
    numbered = expected.get("ids", ()) is not None
    readings = [barcode.read(frame, bool(expected.get("gray"))) for frame in frames_FHWC] if numbered else []
    numbers = [reading.number for reading in readings]
    if expected["outcome"] == "either":
        found = _damaged(item, numbers, wanted, num_frames)
        return "flagged" if found.startswith(("wrong", "silent")) and clip.flags else found
    if any(reading.turned for reading in readings):
        return "wrong: turned"
    return _whole(expected, clip, readings, wanted, num_frames)


def _damaged(item: Item, numbers: Sequence[int | None], wanted: Sequence[int], num_frames: int) -> str:
    """Judge frames of a file with damage: each must be whole, and none may be shown twice or backward."""
    if None in numbers:
        return f"wrong: {numbers.count(None)} of {len(numbers)} garbled"
    seen = [number for _, number in sorted(set(zip(wanted, numbers, strict=True)))]
    if any(b <= a for a, b in pairwise(seen)):
        return f"wrong: repeated or backward {seen[:12]}"
    most = item["expect"].get("max_frames")
    if str(item["id"]).startswith(KNOWN_SHORT) and most is not None and num_frames < 30:
        return f"silent: {num_frames} frames of 30"
    return "ok"


def _whole(
    expected: Mapping[str, Any],
    clip: VideoClip,
    readings: Sequence[barcode.Reading],
    wanted: Sequence[int],
    num_frames: int,
) -> str:
    """Judge frames of a file that must be read right."""
    ids = expected.get("ids") or [None] * expected["frames"]
    size = [clip.frames_FHWC.shape[2], clip.frames_FHWC.shape[1]]
    if "alt" in expected and size == expected["alt"]["size"]:
        ids = expected["alt"]["ids"]
    elif size != expected["size"]:
        return f"wrong: size {size}"
    if num_frames != len(ids):
        return f"wrong: counts {num_frames} frames of {len(ids)}"
    numbers = [reading.number for reading in readings]
    if numbers and numbers != [ids[frame] for frame in wanted]:
        return f"wrong: {numbers[:8]} for {[ids[frame] for frame in wanted][:8]}"
    worst = max((reading.colour_error for reading in readings), default=0.0)
    if worst > expected.get("colour_tol", 255):
        return f"wrong: colour off by {worst:.0f}"
    times = expected.get("times", [frame / expected["fps"] for frame in range(len(ids))])
    if times is not None:
        late = np.abs(clip.times_F - np.array([times[frame] for frame in wanted])).max()
        if late > 0.001:
            return f"wrong: times off by {late:.3f} s"
    return "ok"
