"""Compiled loops give the numbers of PIL and torch, bit for bit: any size, layout in memory and number of threads."""

import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import kernels.pixels.op
from kernels.pixels.op import Rows, Size, loops, normalise, resize
from kernels.pixels.weights import FRACTION_BITS, taps

needs_numba = pytest.mark.skipif(loops() is None, reason="numba is not installed")


def noise(size: Size, colours: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, colours), dtype=np.uint8)


def rows_of(pixels_HWC: np.ndarray) -> Rows:
    return lambda top, bottom: pixels_HWC[top:bottom]


def by_pil(pixels_HW3: np.ndarray, target: Size, columns_first: bool = False) -> np.ndarray:
    """Return planes [3, h, w], one pass after the other."""
    image = Image.fromarray(np.ascontiguousarray(pixels_HW3))
    between = (image.width, target[0]) if columns_first else (target[1], image.height)
    for size in (between, target[::-1]):
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def test_weights_add_up_and_stay_inside() -> None:
    for before, after in [(1, 1), (1, 9), (9, 1), (640, 336), (336, 640), (1000, 999), (4000, 7), (7, 4000)]:
        first, count, fixed = taps(before, after)
        assert (first >= 0).all() and (count >= 1).all() and (first + count <= before).all()
        # each weight is rounded by at most half a unit
        assert (abs(fixed.sum(axis=1) - (1 << FRACTION_BITS)) <= fixed.shape[1]).all()
        assert abs(fixed).sum(axis=1).max() * 255 + (1 << FRACTION_BITS) < 1 << 31


@needs_numba
@pytest.mark.parametrize("columns_first", [False, True])
def test_random_sizes_are_bit_equal(columns_first: bool) -> None:
    """200 pairs of sizes from 1 to 700, noise, which shows every weight."""
    draw = np.random.default_rng(5)
    for seed in range(200):
        h, w, to_h, to_w = (int(side) for side in np.exp(draw.uniform(0, np.log(700), 4)))
        pixels_HW3 = noise((h, w), seed=seed)
        (found,) = resize(rows_of(pixels_HW3), (h, w), [(to_h, to_w)], [columns_first])
        assert np.array_equal(found, by_pil(pixels_HW3, (to_h, to_w), columns_first)), (h, w, to_h, to_w)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


LAYOUTS = {
    "colours last": lambda pixels: pixels,
    "four bytes": lambda pixels: np.concatenate([pixels, noise(pixels.shape[:2], 1, 1)], axis=2),
    "read only": lambda pixels: read_only(np.concatenate([pixels, pixels[..., :1]], axis=2)),
    "planes": lambda pixels: np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0),
    "every other column": lambda pixels: np.repeat(pixels, 2, axis=1)[:, ::2],
    "upside down": lambda pixels: np.ascontiguousarray(pixels[::-1])[::-1],
}


@needs_numba
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_and_number_of_threads(layout: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several sizes at once: narrower, as wide, as high, along columns first."""
    monkeypatch.setattr(kernels.pixels.op, "_THREADS_FROM", 1)
    pixels_HW3 = noise((301, 130))
    targets = [(64, 70), (200, 130), (301, 55), (301, 130), (400, 260), (90, 20)]
    late = [False, False, False, False, False, True]
    found = resize(rows_of(LAYOUTS[layout](pixels_HW3)), (301, 130), targets, late, threads)
    for planes, target, columns_first in zip(found, targets, late, strict=True):
        assert planes.dtype == np.uint8 and planes.flags.c_contiguous
        assert np.array_equal(planes, by_pil(pixels_HW3, target, columns_first)), target


@needs_numba
def test_results_do_not_share_memory_with_the_next_picture() -> None:
    first, second = noise((90, 80)), noise((90, 80), seed=1)
    targets, late = [(40, 30), (90, 31), (41, 80), (90, 80)], [False] * 4
    found = resize(rows_of(first), (90, 80), targets, late)
    resize(rows_of(second), (90, 80), targets, late)
    for planes, target in zip(found, targets, strict=True):
        assert np.array_equal(planes, by_pil(first, target))


@needs_numba
def test_extreme_values_do_not_wrap() -> None:
    """Black beside white overshoots both ends of 8 bits."""
    pixels_HW3 = np.zeros((40, 41, 3), dtype=np.uint8)
    pixels_HW3[::2, ::3] = pixels_HW3[20:, 20:] = 255
    for target in [(97, 113), (17, 19), (200, 5)]:
        (found,) = resize(rows_of(pixels_HW3), (40, 41), [target], [False])
        assert np.array_equal(found, by_pil(pixels_HW3, target))


@needs_numba
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_normalised_tiles_are_those_of_torch(number: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.pixels.op, "_THREADS_FROM", 1)
    draw = np.random.default_rng(number)
    tiles = torch.from_numpy(draw.integers(0, 256, (number, 3, 20, 31), dtype=np.uint8))
    mean, std = draw.uniform(0, 1, 3), draw.uniform(0.01, 2, 3)
    made = torch.full(tiles.shape, torch.nan)
    normalise(tiles.numpy(), mean, std, made.numpy(), threads)
    mean_C11, std_C11 = (torch.tensor(value, dtype=torch.float32).view(3, 1, 1) for value in (mean, std))
    assert torch.equal(made, tiles.float().div(255).sub(mean_C11).div(std_C11))


@pytest.fixture
def afresh() -> Iterator[None]:
    loops.cache_clear()
    yield
    loops.cache_clear()


@pytest.mark.usefixtures("afresh")
def test_without_numba_there_are_no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "kernels.pixels.loops", raising=False)
    monkeypatch.delattr("kernels.pixels.loops", raising=False)
    assert loops() is None
    with pytest.raises(RuntimeError, match="numba"):
        resize(rows_of(noise((4, 4))), (4, 4), [(2, 2)], [False])
    with pytest.raises(RuntimeError, match="numba"):
        normalise(noise((1, 3, 2), 2), (0, 0, 0), (1, 1, 1), np.zeros((1, 3, 2, 2), dtype=np.float32))


@needs_numba
@pytest.mark.usefixtures("afresh")
def test_loops_that_differ_from_the_installed_pil_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loops()
    assert isinstance(found, ModuleType)

    def one_off(words_RW: np.ndarray, planes_3HW: np.ndarray, top: int) -> None:
        split(words_RW, planes_3HW, top)
        planes_3HW[2, -1, -1] ^= 1

    split = found.split
    monkeypatch.setattr(found, "split", one_off)
    loops.cache_clear()
    assert loops() is None
    monkeypatch.undo()
    monkeypatch.setattr(found, "normalise", lambda tiles, mean, std, out: out.fill(0))
    loops.cache_clear()
    assert loops() is None


@needs_numba
def test_loops_are_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder for compiled code can be written to: compiled again each time."""
    from kernels.pixels.loops import njit

    module = sys.modules["kernels.pixels.loops"]
    tried = []

    def refusing(*arguments: object, cache: bool = False, **options: object) -> object:
        tried.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*arguments, **options)

    monkeypatch.setattr(module, "njit", refusing)
    double = module._compiled(module.types.uint32[:, ::1])(_fill)
    words = np.zeros((2, 3), dtype=np.uint32)
    double(words)
    assert tried == [True, False]
    assert (words == 7).all()


def _fill(words):
    for y in range(words.shape[0]):
        for x in range(words.shape[1]):
            words[y, x] = 7
