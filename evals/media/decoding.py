"""Decode one medium of a task: an upright image, or the frames of a clip, of a part of it, or of a folder of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from anyres.decode import open_image
from anyres.grid import TileSpec
from anyres.limits import LIMITS, MediaLimits
from evals.media.ahead import MediaFailed
from evals.sample import Media
from video.clip import VideoClip, VideoSpec
from video.early import at_decode_size
from video.errors import MediaError
from video.reader import Backend, load_clip
from video.unread import choose


def decode(
    media: Media,
    video: VideoSpec,
    reader: Backend = "auto",
    tile: TileSpec | None = None,
    stream: int | None = None,
    limits: MediaLimits = LIMITS,
) -> Image.Image | VideoClip:
    """Return what `media` names: for a video, the frames that `video` asks for.

    tile: frames are resized for it as they are decoded, where that changes no pixel of it. stream: a clip of more
    frames is not read yet (video.unread); None: every clip is.
    A span is read as the clip that was cut there: frames are chosen inside it, and times count from its start. Raises
    MediaFailed for a medium that cannot be read.
    """
    try:
        if media.draw is not None:
            drawn = _drawn(media, media.draw)
            return at_decode_size(drawn, video) if isinstance(drawn, VideoClip) else drawn
        assert media.path is not None
        if media.kind == "image":
            return open_image(media.path, limits)
        asked = asked_of(media, video)
        if may_stream(asked, stream):
            clip = choose(media.path, asked, reader, media.span, fps=media.fps, limits=limits)
            if stream is not None and len(clip.indices) > stream:
                return clip
        return load_clip(media.path, asked, reader, media.span, fps=media.fps, limits=limits, tile=tile)
    except MediaError as error:
        raise MediaFailed(str(error)) from error


def may_stream(asked: VideoSpec, stream: int | None) -> bool:
    """Tell whether settings may choose more than `stream` frames of a clip, and its frames are pooled each alone."""
    most = max(asked.num_frames, len(asked.times_s))
    return stream is not None and most > stream and asked.frames_as == "clip"


def asked_of(media: Media, video: VideoSpec) -> VideoSpec:
    """Return the settings for one clip: with the parts that its row names, where the policy chooses from parts."""
    if video.policy != "segments" or not media.segments:
        return video
    return replace(video, segments_s=media.segments)


def _drawn(media: Media, draw: Callable[[], object]) -> Image.Image | VideoClip:
    drawn = draw()
    if not isinstance(drawn, Image.Image | VideoClip):
        raise TypeError(f"{media.key}: drew a {type(drawn).__name__}, expected an image or a clip")
    return drawn
