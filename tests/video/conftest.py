"""Tiny clips whose frames carry their own number: eight bars (its bits) over a red left and a blue right half."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

RED, BLUE = (200, 30, 30), (30, 30, 200)


def numbered(number: int, height: int, width: int) -> np.ndarray:
    frame_HWC = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        frame_HWC[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = 235 if number >> (7 - bit) & 1 else 16
    frame_HWC[height // 2 :, : width // 2] = RED
    frame_HWC[height // 2 :, width // 2 :] = BLUE
    return frame_HWC


def number_of(frame_HWC: np.ndarray) -> int | None:
    """Return the number a frame carries, or None when it is not upright."""
    height, width = frame_HWC.shape[:2]
    low = frame_HWC[height * 3 // 4].astype(int)
    left, right = low[width // 4], low[width * 3 // 4]
    if not (left[0] > left[2] + 60 and right[2] > right[0] + 60):
        return None
    row = frame_HWC[height // 4].mean(-1)
    return sum(int(row[(2 * bit + 1) * width // 16] > 125) << (7 - bit) for bit in range(8))


def write_clip(
    path: Path,
    *,
    num_frames: int = 20,
    fps: int = 10,
    height: int = 48,
    width: int = 64,
    pixels: str = "yuv420p",
    x264: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    turned: int = 0,
    gop: int = 5,
) -> Path:
    """Write numbered frames. times_ms: variable rate. turned: quarter turns that a player undoes (clockwise)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        context = stream.codec_context
        context.height, context.width = (width, height) if turned % 2 else (height, width)
        context.pix_fmt, context.gop_size, context.thread_count = pixels, gop, 1
        context.options = {"preset": "ultrafast", "crf": "18", "bf": "0", "sc_threshold": "0", **(x264 or {})}
        if times_ms is not None:
            context.time_base = Fraction(1, 1000)
        if turned:
            stream.set_display_rotation(-90 * turned)
        for number in range(num_frames):
            stored = np.ascontiguousarray(np.rot90(numbered(number, height, width), k=turned))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24").reformat(format=pixels)
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = Fraction(1, fps) if times_ms is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


VFR_MS = [0, 40, 80, 120, 700, 740, 780, 2000, 2033, 2066, 2100, 5000, 5040, 5080, 9000]
CLIPS: dict[str, Callable[[Path], Path]] = {
    "constant": lambda folder: write_clip(folder / "constant.mp4"),
    "matroska": lambda folder: write_clip(folder / "constant.mkv"),
    "bframes": lambda folder: write_clip(folder / "bframes.mp4", x264={"bf": "2", "b-adapt": "0"}),
    "one_keyframe": lambda folder: write_clip(folder / "one_keyframe.mp4", num_frames=40, gop=1000),
    "one_frame": lambda folder: write_clip(folder / "one_frame.mp4", num_frames=1),
    "turned_1": lambda folder: write_clip(folder / "turned_1.mp4", turned=1),
    "turned_2": lambda folder: write_clip(folder / "turned_2.mp4", turned=2),
    "turned_3": lambda folder: write_clip(folder / "turned_3.mp4", turned=3),
    "colon in name": lambda folder: write_clip(folder / "http:colon.mp4", num_frames=3),
    "variable": lambda folder: write_clip(folder / "variable.mp4", num_frames=15, times_ms=VFR_MS, fps=25),
    "open_gop": lambda folder: write_clip(
        folder / "open_gop.mp4",
        num_frames=45,
        x264={"bf": "3", "b-adapt": "0", "x264-params": "open-gop=1:b-pyramid=normal:keyint=15"},
    ),
    "transport": lambda folder: write_clip(folder / "transport.ts"),
    "raw": lambda folder: write_clip(folder / "raw.h264"),
    "odd": lambda folder: write_clip(folder / "odd.mp4", height=49, width=65, pixels="yuv444p"),
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {name: write(folder) for name, write in CLIPS.items()}


@pytest.fixture(scope="session")
def read_number() -> Callable[[np.ndarray], int | None]:
    return number_of
