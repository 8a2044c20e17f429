"""The packet index of a video file: which frames it shows, when, and where decoding can start.

Packets are not decoded, except for the first frame: its rotation is nowhere else. Where they come from: video/scan.py.

Legend: P packets in file order, F frames shown in order of presentation.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy import ndarray

from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, Flag
from video.container import opened, quarter_turns, video_streams
from video.errors import MediaError
from video.matroska import missing_bytes
from video.mp4 import media_seconds
from video.ogg import wrong_pages
from video.scan import NO_TIME, Packets, by_reading, confirmed, has_tables, table_of
from video.timeline import Timeline

# by how much a header's duration may miss that of the frames before it counts as wrong
DURATION_S, DURATION_PART = 0.5, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketIndex:
    """What the packets of the video stream say, in units of `time_base` where they are times.

    pts_F: presentation times of the frames shown, rising; empty when the file has none that identify its frames.
    key_pts: times at which decoding can start. closed_gops: no frame refers across such a point. complete_start: the
    first packet is such a point. header_frames: what the header promises, 0 if nothing. num_streams: video streams
    without cover pictures. size: of the first frame, turned upright by `quarter_turns` (counter-clockwise).
    pixel_aspect: width of a pixel by its height; frames are returned as they are stored. flags: see VideoClip.
    has_duration: the header tells one. damaged: frames that do not fit a checksum of the file, and those that may refer
    to one; never decoded. reordered: the container tells only when packets are decoded, and frames are shown in
    another order (H.264 in AVI): pts_F are right, but a decoded frame carries another's.
    """

    path: Path
    stream: int
    num_streams: int
    container: str
    codec: str
    pixel_format: str
    colour: tuple[int, int]
    time_base: Fraction
    num_frames: int
    pts_F: tuple[int, ...]
    key_pts: tuple[int, ...]
    closed_gops: bool
    complete_start: bool
    header_frames: int
    duration: int
    average_rate: Fraction | None
    size: HW
    quarter_turns: int
    pixel_aspect: Fraction
    flags: tuple[Flag, ...]
    has_duration: bool
    damaged: frozenset[int] = frozenset()
    reordered: bool = False

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header as the rest of the project knows it."""
        seconds = float(self.duration * self.time_base)
        fps = self.num_frames / seconds
        rate = float(self.average_rate) if self.average_rate else fps
        # coarse time bases round: 30 frames per second in milliseconds are 33 ms apart
        fps = rate if abs(rate - fps) <= 0.005 * fps else fps
        return ClipMeta(num_frames=self.num_frames, fps=fps, size=self.size, duration_s=seconds)

    def time_s(self, frame: int) -> float:
        """Return when a frame is shown, in seconds after the first one."""
        if self.pts_F:
            return float((self.pts_F[frame] - self.pts_F[0]) * self.time_base)
        return frame / self.meta.fps

    def timeline(self, limits: MediaLimits = LIMITS) -> Timeline:
        """Return what readers need of it."""
        if self.pts_F:
            step, first = float(self.time_base), self.pts_F[0]
            times = tuple((pts - first) * step for pts in self.pts_F)
            keys = set(self.key_pts)
            keyframes = tuple(frame for frame, pts in enumerate(self.pts_F) if pts in keys)
        else:
            fps = self.meta.fps
            times = tuple(frame / fps for frame in range(self.num_frames))
            keyframes = None
        return Timeline(
            path=str(self.path),
            meta=self.meta,
            times_s=times,
            keyframes=keyframes,
            flags=self.flags,
            limits=limits,
        )


def index_packets(path: Path, partial: bool = False, tables: bool = True) -> PacketIndex:
    """Return the index of a file; MediaError if it has no video, no frame, or less than its header promises.

    partial: index what there is of a file that was cut off, and flag it, instead of refusing it. tables: believe those
    of a plain MP4, where they agree with its first packets and its last; key_pts and closed_gops are then what they
    tell, which is less than the packets tell where they leave out a starting point.
    """
    with opened(path) as (container, stream):
        if not tables or not has_tables(container, stream):
            return index_by_reading(path, container, stream, partial)
        index = index_by_tables(path, container, stream)
        if index is not None:
            return index
    # from the start again
    with opened(path) as (container, stream):
        return index_by_reading(path, container, stream, partial)


def index_by_tables(path: Path, container: InputContainer, stream: VideoStream) -> PacketIndex | None:
    """Return the index of a plain MP4 that was just opened; None where packets do not confirm what its tables tell."""
    table = table_of(path, container, stream)
    found = None if table is None else confirmed(container, stream, table)
    return None if found is None else _build(path, container, stream, *found, None)


def index_by_reading(path: Path, container: InputContainer, stream: VideoStream, partial: bool = False) -> PacketIndex:
    """Return the index of a file that was just opened, from all of its packets; errors as in index_packets."""
    packets, first = by_reading(path, container, stream)
    missing = _missing(path, container, stream, packets)
    if missing is not None and not partial:
        raise missing
    return _build(path, container, stream, packets, first, missing)


def _missing(path: Path, container: InputContainer, stream: VideoStream, packets: Packets) -> MediaError | None:
    """Return what is wrong where the file holds less than it says, or frames that nothing can decode."""
    missing = missing_bytes(path) if "matroska" in container.format.name else 0
    if missing:
        return MediaError(path, "truncated", f"cut off: its header says {missing} bytes more than the file holds")
    wrong = wrong_pages(path) if container.format.name == "ogg" else 0
    if wrong:
        return MediaError(path, "damaged", f"{wrong} of its pages do not fit their checksum, or are not there")
    if "mp4" not in container.format.name:
        return None
    promised = len(stream.index_entries)
    if len(packets) < promised:
        detail = f"cut off: its header lists {promised} frames, the file holds {len(packets)}"
        return MediaError(path, "truncated", detail)
    start = int(packets.key_P.argmax())
    if start:
        return MediaError(path, "damaged", f"its first {start} frames do not decode: no keyframe before them")
    return None


def _build(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    packets: Packets,
    first: VideoFrame,
    missing: MediaError | None,
) -> PacketIndex:
    start = int(packets.key_P.argmax())
    decodable = packets[start:]
    if missing is not None and decodable.corrupt_P[-1] and len(decodable) > 1:
        # the last one was cut in two
        decodable = decodable[:-1]
    shown_P = decodable.shown_P.copy()
    origin = decodable.pts_P[0]
    if start and origin != NO_TIME:
        # frames shown before the first starting point refer to packets that the file does not hold
        shown_P &= (decodable.pts_P == NO_TIME) | (decodable.pts_P >= origin)
    shown = decodable[shown_P]
    if not len(shown):
        raise MediaError(path, "no_frames", "its edit list hides every frame")
    identified = bool((shown.pts_P != NO_TIME).all())
    times_F = np.sort(shown.pts_P[shown.pts_P != NO_TIME])
    repeated = int((np.diff(times_F) == 0).sum())
    if identified and repeated:
        raise MediaError(path, "damaged", f"{repeated} of its frames share a timestamp with another")
    keys = np.unique(decodable.pts_P[decodable.key_P & (decodable.pts_P != NO_TIME)])
    turns = quarter_turns(path, first)
    stored = HW(first.height, first.width)
    duration = _duration(shown, identified)
    flags: dict[Flag, bool] = {
        "corrupt": start > 0 or packets.gaps or bool((packets.corrupt_P | packets.wrong_P).any()),
        "count": missing is not None or stream.frames not in (0, len(packets)),
        "time": not identified or _wrong_duration(path, container, stream, times_F, duration),
    }
    reordered = _reordered(container, stream, packets, identified)
    if reordered and (flags["corrupt"] or flags["count"]):
        detail = "packets are missing, and its container does not tell which frame is whose"
        raise MediaError(path, "damaged", detail)
    return PacketIndex(
        path=path,
        stream=stream.index,
        num_streams=len(video_streams(container)),
        container=container.format.name,
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
        colour=(int(first.colorspace), int(first.color_range)),
        time_base=stream.time_base,
        num_frames=len(shown),
        pts_F=tuple(times_F.tolist()) if identified else (),
        key_pts=tuple(keys.tolist()),
        closed_gops=_closed(decodable),
        complete_start=start == 0 and bool(packets.shown_P.all()),
        header_frames=stream.frames,
        duration=duration,
        average_rate=stream.average_rate,
        size=stored.transposed if turns % 2 else stored,
        quarter_turns=turns,
        pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
        flags=tuple(flag for flag, raised in flags.items() if raised),
        has_duration=container.duration is not None,
        damaged=_damaged(decodable, shown_P, identified),
        reordered=reordered,
    )


def _damaged(packets: Packets, shown_P: ndarray, identified: bool) -> frozenset[int]:
    """Return the frames that wrong packets make, and all others that may refer to one of them, in order of decoding.

    Those end at the next starting point, but for frames that follow it and are shown before it.
    """
    if not packets.wrong_P.any():
        return frozenset()
    if not identified:
        # nothing tells which frame is whose
        return frozenset(range(int(shown_P.sum())))
    spoilt_P = packets.wrong_P.copy()
    spoilt = before = False
    key_pts = NO_TIME
    for packet, (wrong, key, pts) in enumerate(
        zip(packets.wrong_P.tolist(), packets.key_P.tolist(), packets.pts_P.tolist(), strict=True)
    ):
        if key:
            before, spoilt, key_pts = spoilt, False, pts
        spoilt = spoilt or wrong
        spoilt_P[packet] = spoilt or (before and pts < key_pts)
    order = np.argsort(packets.pts_P[shown_P], kind="stable")
    return frozenset(np.flatnonzero(spoilt_P[shown_P][order]).tolist())


def _reordered(container: InputContainer, stream: VideoStream, packets: Packets, identified: bool) -> bool:
    """Tell whether times are those of decoding, in a stream whose frames are shown in another order."""
    whole = identified and bool(packets.key_P[0]) and bool(packets.shown_P.all())
    rising = whole and bool((np.diff(packets.pts_P) > 0).all())
    return rising and container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def _closed(packets: Packets) -> bool:
    """Tell whether no packet that follows a starting point is shown before it."""
    # the first packet is a starting point: each has one before it
    places_P = np.maximum.accumulate(np.where(packets.key_P, np.arange(len(packets)), 0))
    keys_P = packets.pts_P[places_P]
    followed = (keys_P != NO_TIME) & (packets.pts_P != NO_TIME) & (packets.pts_P >= keys_P)
    return bool((packets.key_P | followed).all())


def _duration(shown: Packets, identified: bool) -> int:
    """Return how long the frames are shown, the last one included, in units of the time base; at least 1."""
    if not identified:
        return max(1, int(shown.duration_P.sum()))
    latest = int(shown.pts_P.argmax())
    span = int(shown.pts_P[latest] - shown.pts_P.min())
    last = int(shown.duration_P[latest])
    if last <= 0:
        last = round(span / (len(shown) - 1)) if len(shown) > 1 else 1
    return max(1, span + last)


def _wrong_duration(
    path: Path, container: InputContainer, stream: VideoStream, times_F: ndarray, duration: int
) -> bool:
    """Tell whether the header promises a duration that is not that of the frames."""
    shown_s = float(duration * stream.time_base)
    if stream.duration is not None:
        promised_s = [float(stream.duration * stream.time_base)]
        # FFmpeg puts the sum of its samples in the place of what an MP4 tells
        told_s = media_seconds(path, stream.id) if "mp4" in container.format.name else None
        if told_s and abs(told_s - promised_s[0]) > max(DURATION_S, DURATION_PART * told_s):
            return True
    elif container.duration is not None and len(container.streams) == 1:
        # some containers count from 0, not from the first frame
        promised_s = [container.duration / 1e6, container.duration / 1e6 - float(int(times_F[0]) * stream.time_base)]
    else:
        return False
    allowed_s = max(DURATION_S, DURATION_PART * shown_s)
    return all(abs(promised - shown_s) > allowed_s for promised in promised_s)
