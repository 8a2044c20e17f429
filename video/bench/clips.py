"""Synthesise long clips for measurements: a textured scene under a moving camera, with moving objects and grain.

python -m video.bench.clips FOLDER --minutes 12               1280x720, 30 frames a second, a keyframe every 250 frames
python -m video.bench.clips FOLDER --minutes 5 60 --fps 6     the same pictures, shown slowly: an hour decodes faster

Frames are drawn and encoded once for a block of 3,000 and the block's packets are repeated, so an hour costs what 100
seconds cost. Groups of pictures are closed, so a repeated block decodes to the same pixels.
"""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from PIL import Image, ImageFilter

from anyres.geometry import HW

FPS = 30
BLOCK = 3000
SIZE = HW(720, 1280)
X264 = {"preset": "fast", "crf": "23", "g": "250", "keyint_min": "250", "sc_threshold": "0", "bf": "3"}


def scene(count: int, size: HW = SIZE, seed: int = 7) -> Iterator[np.ndarray]:
    """Yield frames [H, W, 3] uint8: a camera that pans and zooms over a texture, three objects, grain."""
    rng = np.random.default_rng(seed)
    world = _texture(rng, HW(size.h * 2, size.w * 2))
    grain = rng.integers(0, 7, (8, size.h, size.w, 1), dtype=np.uint8)
    objects = [np.asarray(_texture(rng, HW(size.h // 5, size.w // 7))) for _ in range(3)]
    for number in range(count):
        t = number / FPS
        zoom = 1.0 + 0.15 * np.sin(t / 7)
        h, w = size.h * zoom, size.w * zoom
        x = (world.width - w) * (0.5 + 0.5 * np.sin(t / 5))
        y = (world.height - h) * (0.5 + 0.5 * np.cos(t / 6))
        view = world.resize((size.w, size.h), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
        frame_HWC = np.array(view)
        for which, picture in enumerate(objects):
            top = int((size.h - picture.shape[0]) * (0.5 + 0.5 * np.sin(t * (0.9 + which) + which)))
            left = int((size.w - picture.shape[1]) * (0.5 + 0.5 * np.cos(t * (0.7 + 0.6 * which))))
            frame_HWC[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        yield frame_HWC // 8 * 7 + grain[number % 8]


def write_long(path: Path, num_frames: int, fps: int = FPS, size: HW = SIZE, block: int = BLOCK) -> Path:
    """Write an H.264 MP4 of `num_frames`; blocks of `block` frames repeat, what is left over is encoded by itself."""
    times, rest = divmod(num_frames, block)
    packets = [*_encoded(block, size)] * times if times else []
    starts = [number * block for number in range(times) for _ in range(len(packets) // times)]
    if rest:
        tail = _encoded(rest, size)
        packets, starts = packets + list(tail), starts + [times * block] * len(tail)
    # a reader never sees half a clip
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=X264)
        stream.height, stream.width, stream.pix_fmt = size.h, size.w, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, fps)
        container.start_encoding()
        for (data, pts, dts, key), start in zip(packets, starts, strict=True):
            packet = Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, fps)
            packet.pts, packet.dts, packet.duration, packet.is_keyframe = pts + start, dts + start, 1, key
            container.mux(packet)
    part.replace(path)
    return path


@cache
def _encoded(count: int, size: HW) -> tuple[tuple[bytes, int, int, bool], ...]:
    """Return data, presentation and decoding time and keyframe flag of each packet of a scene."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = size.h, size.w, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.options = Fraction(1, FPS), Fraction(FPS), X264
    packets: list[Packet] = []
    for number, frame_HWC in enumerate(scene(count, size)):
        frame = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple((bytes(packet), packet.pts or 0, packet.dts or 0, packet.is_keyframe) for packet in packets)


def _texture(rng: np.random.Generator, size: HW) -> Image.Image:
    """Return noise of several scales in colour."""
    total = np.zeros((size.h, size.w, 3), np.float32)
    for octave in range(2, 8):
        coarse = rng.integers(0, 256, (size.h >> octave or 1, size.w >> octave or 1, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((size.w, size.h), Image.Resampling.BICUBIC)
        total += np.asarray(picture, np.float32) * octave
    total -= total.min()
    return Image.fromarray((total * (255 / total.max())).astype(np.uint8)).filter(ImageFilter.SHARPEN)


def main() -> None:
    """Write FOLDER/<minutes>min.mp4 for each length asked for and print their sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[12])
    parser.add_argument("--fps", type=int, default=FPS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for minutes in given.minutes:
        path = write_long(given.folder / f"{minutes:g}min.mp4", round(minutes * 60 * given.fps), given.fps)
        print(f"{path}: {path.stat().st_size >> 20} MiB", flush=True)


if __name__ == "__main__":
    main()
