"""Decode uploads in the working folder of a decoding process. No torch here; no words of a file reach a message."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from anyres.decode import open_image
from anyres.errors import MediaError
from anyres.limits import MediaLimits
from video.clip import VideoSpec
from video.reader import load_clip, open_clip_reader
from video.sampling import sample

_IMAGE = {
    "not_media": "is no image of a known format",
    "empty": "has no pixels",
    "limit": "has too many pixels or bytes",
    "truncated": "is damaged or cut short",
    "damaged": "is damaged or cut short",
    "values": "has pixels of 32 bits or floating point, which have no mapping to 8 bits",
}
_VIDEO = {
    "not_media": "is no video file of a known format",
    "no_video": "holds no video",
    "no_frames": "holds no frames",
    "truncated": "is cut short",
    "damaged": "is damaged: a frame that is needed does not decode",
    "unsupported": "is of a kind that is not read here",
}


class Refused(Exception):
    """A medium that is not decoded. index: which one of the request."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def decode(job: Mapping[str, Any], pixels: BinaryIO) -> list[dict[str, Any]]:
    """Write the pixels of a job's media, uint8 RGB one after the other; return what describes each.

    job: items (kind, files, fps), video (the fields of a VideoSpec), pixels and bytes (limits). Raises Refused.
    """
    video = VideoSpec(**job["video"])
    left, described = int(job["bytes"]), []
    for index, item in enumerate(job["items"]):
        if item["kind"] == "video":
            one, array = _clip(index, Path(item["files"][0]), video, job["pixels"], left)
        else:
            frames = [_image(index, Path(name), job["pixels"]) for name in item["files"]]
            one, array = _pictures(index, item, frames, left)
        left -= array.nbytes
        pixels.write(array.data)
        described.append({**one, "shape": list(array.shape)})
    return described


def _image(index: int, file: Path, pixels: int) -> Image.Image:
    try:
        return open_image(file.read_bytes(), MediaLimits(pixels=pixels))
    except MediaError as error:
        raise Refused(index, _IMAGE.get(error.kind, "cannot be read")) from error


def _pictures(
    index: int, item: Mapping[str, Any], frames: list[Image.Image], left: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Return one picture, or frames of one size as a clip."""
    if len({frame.size for frame in frames}) > 1:
        raise Refused(index, "has frames of different sizes")
    width, height = frames[0].size
    _fits(index, len(frames) * width * height * 3, left)
    if item["kind"] == "image":
        return {"kind": "image"}, np.asarray(frames[0])
    count, fps = len(frames), float(item["fps"])
    times = [number / fps for number in range(count)]
    return _described(times, list(range(count)), "frames", fps, count, count / fps), np.stack(
        list(map(np.asarray, frames))
    )


def _clip(index: int, file: Path, video: VideoSpec, pixels: int, left: int) -> tuple[dict[str, Any], np.ndarray]:
    """Return the frames of a clip that `video` asks for; what they would take is known before they are decoded."""
    try:
        meta = open_clip_reader(file).meta
        if meta.size.area > pixels:
            raise Refused(index, "has too many pixels")
        _fits(index, len(sample(meta, video)) * meta.size.area * 3, left)
        clip = load_clip(file, video)
    except MediaError as error:
        raise Refused(index, _VIDEO.get(error.kind, "cannot be read")) from error
    except ValueError as error:
        raise Refused(index, "is no clip that can be sampled as this server does") from error
    described = _described(
        clip.times_F.tolist(), list(clip.indices), clip.reader, meta.fps, meta.num_frames, meta.duration_s
    )
    return described, np.ascontiguousarray(clip.frames_FHWC)


def _described(
    times: list[float], indices: list[int], reader: str, fps: float, num_frames: int, duration_s: float
) -> dict[str, Any]:
    meta = {"num_frames": num_frames, "fps": fps, "duration_s": duration_s}
    return {"kind": "clip", "times": times, "indices": indices, "reader": reader, "meta": meta}


def _fits(index: int, needed: int, left: int) -> None:
    if needed > left:
        raise Refused(index, "is too large once it is decoded")
