"""Compiled loops come into use when they pay, and change no bit."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import anyres.pixels
import anyres.resize
from anyres.compiled import Compiled
from anyres.geometry import HW
from anyres.pixels import normalise
from anyres.resize import resize_exact
from kernels.pixels.op import loops

needs_numba = pytest.mark.skipif(loops() is None, reason="numba is not installed")


@needs_numba
def test_they_are_loaded_after_as_much_work_as_loading_takes() -> None:
    compiled = Compiled(load_s=1e-9)
    assert not compiled.ready()
    with compiled.waiting():
        sum(range(1000))
    assert compiled.ready()
    assert Compiled(load_s=100.0).load()


@needs_numba
@pytest.mark.parametrize("source", [HW(33, 47), HW(1030, 1100), HW(2100, 2050), HW(1500, 30)], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_pixels_are_the_same_with_and_without(source: HW, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image, also one that PIL keeps in several pieces, and of an array; along columns first, too."""
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
    sizes = [HW(40, 40), HW(20, source.w), HW(source.h, 60), source, HW(2 * source.h, 90)]
    made = []
    for load_s in (1e9, 0.0):
        monkeypatch.setattr(anyres.resize, "COMPILED", Compiled(load_s))
        for frame in (Image.fromarray(pixels_HW3), pixels_HW3):
            made.append(resize_exact(frame, sizes, threads))
    for others in made[1:]:
        for planes, right in zip(others, made[0], strict=True):
            assert np.array_equal(planes, right)


@needs_numba
def test_other_weights_than_bicubic_ones_stay_pil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anyres.resize, "COMPILED", Compiled(0.0))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8))
    for resample, method in (("bilinear", Image.Resampling.BILINEAR), ("area", Image.Resampling.BOX)):
        (made,) = resize_exact(image, [HW(20, 30)], resample=resample)
        assert np.array_equal(made, np.asarray(image.resize((30, 20), method)).transpose(2, 0, 1))


@needs_numba
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalised_tiles_are_the_same_with_and_without(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = torch.randint(0, 256, (3, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = {"whole": tiles, "turned": tiles.transpose(2, 3), "none": tiles[:0]}
    made = []
    for load_s in (1e9, 0.0):
        monkeypatch.setattr(anyres.pixels, "COMPILED", Compiled(load_s))
        made.append({name: normalise(some, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1), dtype) for name, some in shown.items()})
    for name, right in made[0].items():
        assert torch.equal(made[1][name], right), name


def test_a_process_that_prepares_one_picture_does_not_load_numba() -> None:
    program = (
        "import sys, numpy as np; from anyres.geometry import HW; from anyres.resize import resize_exact;"
        "resize_exact(np.zeros((64, 64, 3), dtype=np.uint8), [HW(9, 9)]); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
