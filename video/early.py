"""Resize frames where they are decoded, so that a clip holds what its plan draws and not full pictures.

The pixels are those that the plan's canvas would hold anyway: PIL's bicubic of the whole frame, bit for bit, since
resizing a picture to its own size changes nothing. A canvas that pads first, or cuts tiles, needs the frame itself.
"""

from dataclasses import replace

import numpy as np
from numpy import ndarray

from anyres.geometry import HW
from anyres.grid import TileSpec
from anyres.plan import overview_canvas
from anyres.resize import resize_exact
from video.clip import VideoClip, VideoSpec


def early_size(frame: HW, video: VideoSpec, tile: TileSpec) -> HW | None:
    """Return the size to which frames may be resized on the way without a change to the plan or its pixels.

    None where they have to stay as they are, or would not get smaller. With video.decode_px that of the decoded frames.
    """
    if video.shown(frame) != frame:
        return video.shown(frame)
    if video.frames_as != "clip" or (video.fit == "pad" and frame.h != frame.w):
        return None
    size = HW(tile.px, tile.px) if video.fit == "pad" else overview_canvas(frame, tile, video.fit).content_px.size
    return size if size.area < frame.area else None


def at_decode_size(clip: VideoClip, video: VideoSpec) -> VideoClip:
    """Return a decoded clip with its frames of the size that video.decode_px gives them."""
    found = HW(*clip.frames_FHWC.shape[1:3])
    size = video.shown(found)
    if size == found:
        return clip
    return replace(clip, frames_FHWC=np.stack([resized(frame_HWC, size) for frame_HWC in clip.frames_FHWC]))


def resized(picture_HWC: ndarray, size: HW | None) -> ndarray:
    """Return a picture [H, W, 3] uint8 resized as plans resize, or as it is where `size` is None or its own."""
    if size is None or picture_HWC.shape[:2] == tuple(size):
        return picture_HWC
    (planes_3HW,) = resize_exact(picture_HWC, [size])
    return np.ascontiguousarray(planes_3HW.transpose(1, 2, 0))
