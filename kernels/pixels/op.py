"""Resize one picture to several sizes by PIL's bicubic, and normalise tiles, in compiled loops.

Needs numba, an optional dependency, and takes a moment to load; PIL and torch give the same bits without it. That they
do is not assumed: the loops are held against the installed PIL, and numpy, on a few pictures before they are used.

Legend: H W pixels of a picture, h w of a result, C 3 or 4 bytes of a pixel; N tiles of P pixels.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kernels.pixels.weights import taps

# rows [top, bottom) of a picture: uint8 [bottom - top, W, C]
Rows = Callable[[int, int], NDArray[np.uint8]]
Size = tuple[int, int]

# rows of a strip, whose columns stay in the cache, and its most pixels; bytes of a line that are summed at a time
_STRIP_ROWS, _STRIP_PIXELS = 64, 1 << 22
_SUMMED_BYTES = 4096
# pixels from which on threads are worth their start
_THREADS_FROM = 1 << 20
# enlarged, shrunk, one side each, thin
_PROBES = (((9, 7), (23, 31)), ((61, 83), (13, 20)), ((70, 33), (20, 50)), ((3, 200), (3, 41)), ((150, 2), (100, 2)))

# means and spreads of the released encoders
_COLOURS = (
    ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)


@cache
def loops() -> ModuleType | None:
    """Return the compiled loops; None without numba, or where their numbers are not those of PIL and numpy."""
    try:
        # takes half a second, and more where it has to compile
        import kernels.pixels.loops as found
    except (ImportError, OSError):
        return None
    return found if _normalises(found) and all(_resizes(found, *probe) for probe in _PROBES) else None


def resize(
    rows: Rows, source: Size, targets: Sequence[Size], columns_first: Sequence[bool], threads: int = 1
) -> list[NDArray[np.uint8]]:
    """Return uint8 planes [3, h, w] of a picture of `source` (H, W) for each of `targets` (h, w), as PIL resizes it.

    rows: gives some rows of the picture; of C = 4 bytes the last is not read. columns_first: for each target, whether
    PIL resizes along columns before rows. Call `loops` first; raises RuntimeError where it gives None.
    """
    found = _loaded()
    threads = threads if source[0] * source[1] >= _THREADS_FROM else 1
    with _each(threads) as each:
        return _resized(found, rows, source, targets, columns_first, threads, each)


def normalise(
    tiles_N3HW: NDArray[np.uint8],
    mean: Sequence[float],
    std: Sequence[float],
    out_N3HW: NDArray[np.float32],
    threads: int = 1,
) -> None:
    """Write (v / 255 - mean) / std of tiles to `out_N3HW`, every step rounded to float32. Both arrays are contiguous.

    Call `loops` first; raises RuntimeError where it gives None.
    """
    found, number = _loaded(), len(tiles_N3HW)
    shares = max(1, min(threads, number)) if tiles_N3HW.size >= 3 * _THREADS_FROM else 1
    tiles_N3P, out_N3P = (array.reshape(number, 3, array.shape[2] * array.shape[3]) for array in (tiles_N3HW, out_N3HW))
    mean_3, std_3 = np.asarray(mean, dtype=np.float32), np.asarray(std, dtype=np.float32)

    def share(k: int) -> None:
        some = slice(number * k // shares, number * (k + 1) // shares)
        found.normalise(tiles_N3P[some], mean_3, std_3, out_N3P[some])

    with _each(shares) as each:
        list(each(share, range(shares)))


@contextmanager
def _each(threads: int) -> Iterator[Callable[..., Iterator]]:
    """Yield `map`, over so many threads."""
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


def _loaded() -> ModuleType:
    found = loops()
    if found is None:
        raise RuntimeError("numba is not installed, or its loops give other numbers than PIL or numpy")
    return found


def _resized(
    found: ModuleType,
    rows: Rows,
    source: Size,
    targets: Sequence[Size],
    columns_first: Sequence[bool],
    threads: int,
    each: Callable[..., Iterator],
) -> list[NDArray[np.uint8]]:
    height, width = source
    # a picture that begins with its rows goes through the first pass together with the others that do
    by_rows = [k for k, (_, w) in enumerate(targets) if not columns_first[k] and w != width]
    narrowed = _along_rows(found, rows, source, {k: targets[k][1] for k in by_rows}, threads, each)

    def finish(k: int) -> NDArray[np.uint8]:
        h, w = targets[k]
        words = narrowed[k] if k in narrowed else _words(rows(0, height))
        if words.shape[1] != w:
            # along columns first
            tall = np.empty((h, width), dtype=np.uint32)
            _along_columns(found, words, h, lambda some, top: np.copyto(tall[top : top + len(some)], some))
            words = _along_rows(found, partial(_bytes, tall), (h, width), {k: w}, 1, map)[k]
        planes_3hw = np.empty((3, h, w), dtype=np.uint8)
        _along_columns(found, words, h, lambda some, top: found.split(some, planes_3hw, top))
        return planes_3hw

    return list(each(finish, range(len(targets))))


def _along_rows(
    found: ModuleType, rows: Rows, source: Size, widths: dict[int, int], threads: int, each: Callable[..., Iterator]
) -> dict[int, NDArray[np.uint32]]:
    """Return words [H, w] for each of `widths`, under its key. They stay until the thread's next picture."""
    if not widths:
        return {}
    height, width = source
    strip = max(1, min(_STRIP_ROWS, height, _STRIP_PIXELS // width))
    narrowed = {k: _SCRATCH.words(f"rows {k}", (height, w)) for k, w in widths.items()}
    weights = {k: taps(width, w) for k, w in widths.items()}

    def share(number: int) -> None:
        turned_WR = _SCRATCH.words("turned", (width, strip))
        sums = np.empty(strip * 4, dtype=np.int32)
        results = {k: _SCRATCH.words(f"strip {k}", (w, strip)) for k, w in widths.items()}
        # every so manieth strip
        for top in range(number * strip, height, threads * strip):
            bottom = min(top + strip, height)
            _turn(found, rows(top, bottom), turned_WR)
            for k, result_wR in results.items():
                found.weigh(turned_WR.view(np.uint8), *weights[k], sums, result_wR.view(np.uint8))
                found.turn_back(result_wR, narrowed[k][top:bottom])

    list(each(share, range(threads)))
    return narrowed


def _along_columns(
    found: ModuleType, words_HW: NDArray[np.uint32], height: int, take: Callable[[NDArray[np.uint32], int], None]
) -> None:
    """Hand rows of words [height, W] to `take`, some at a time, with the number of the first."""
    if words_HW.shape[0] == height:
        take(words_HW, 0)
        return
    first, count, fixed = taps(words_HW.shape[0], height)
    some_RW = _SCRATCH.words("columns", (min(_STRIP_ROWS, height), words_HW.shape[1]))
    sums = np.empty(_SUMMED_BYTES, dtype=np.int32)
    for top in range(0, height, _STRIP_ROWS):
        part = slice(top, min(top + _STRIP_ROWS, height))
        rows_RW = some_RW[: part.stop - top]
        found.weigh(words_HW.view(np.uint8), first[part], count[part], fixed[part], sums, rows_RW.view(np.uint8))
        take(rows_RW, top)


class _Scratch(threading.local):
    """Arrays that a thread keeps from picture to picture: memory from the system costs as much as the work in it."""

    MOST_BYTES = 1 << 26

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[np.uint32]] = {}

    def words(self, name: str, shape: Size) -> NDArray[np.uint32]:
        """Return an array of any content; the next one of that name takes its memory."""
        size = shape[0] * shape[1]
        kept = self._kept.get(name)
        if kept is None or len(kept) < size:
            kept = np.empty(size, dtype=np.uint32)
            if kept.nbytes <= self.MOST_BYTES:
                self._kept[name] = kept
        return kept[:size].reshape(shape)


_SCRATCH = _Scratch()


def _turn(found: ModuleType, strip_RWC: NDArray[np.uint8], turned_WR: NDArray[np.uint32]) -> None:
    if strip_RWC.shape[2] == 4 and strip_RWC.flags.c_contiguous:
        found.turn_words(strip_RWC.view(np.uint32)[..., 0], turned_WR)
    else:
        found.turn_colours(strip_RWC, turned_WR)


def _words(pixels_HWC: NDArray[np.uint8]) -> NDArray[np.uint32]:
    if pixels_HWC.shape[2] == 3:
        pixels_HWC = np.concatenate([pixels_HWC, pixels_HWC[..., :1]], axis=2)
    return np.ascontiguousarray(pixels_HWC).view(np.uint32)[..., 0]


def _bytes(words_HW: NDArray[np.uint32], top: int, bottom: int) -> NDArray[np.uint8]:
    return words_HW[top:bottom, :, None].view(np.uint8)


def _resizes(found: ModuleType, source: Size, target: Size) -> bool:
    """Return whether the loops and PIL give the same pixels of one picture, pass by pass."""
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
    image = Image.fromarray(pixels_HW3)
    rows = image.resize((target[1], source[0]), Image.Resampling.BICUBIC)
    right_3hw = np.asarray(rows.resize((target[1], target[0]), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    (made_3hw,) = _resized(found, lambda top, bottom: pixels_HW3[top:bottom], source, [target], [False], 1, map)
    return np.array_equal(made_3hw, right_3hw)


def _normalises(found: ModuleType) -> bool:
    """Return whether the loops and numpy give the same numbers for every 8-bit value and a few means and spreads."""
    tiles_13P = np.broadcast_to(np.arange(256, dtype=np.uint8), (1, 3, 256)).copy()
    made_13P = np.empty(tiles_13P.shape, dtype=np.float32)
    for mean, std in _COLOURS:
        mean_31, std_31 = (np.asarray(value, dtype=np.float32)[:, None] for value in (mean, std))
        found.normalise(tiles_13P, mean_31[:, 0].copy(), std_31[:, 0].copy(), made_13P)
        if not np.array_equal(made_13P, (tiles_13P / np.float32(255) - mean_31) / std_31):
            return False
    return True
