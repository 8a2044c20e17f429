"""Bilinear thresholding, forward and backward: the largest maps of the OneVision case, from tiles to fewer tokens.

Legend: N tiles, P tokens per tile, D width, H W rows and columns of a map, T tokens of the result.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from kernels.bench.cases import ONEVISION
from kernels.bench.verify import checked, gradient_of
from kernels.bench.work import Setting, Work
from kernels.pack.op import pack
from kernels.pack.table import PackTable
from kernels.threshold.op import threshold
from kernels.threshold.reference import threshold_reference

Thresholder = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCase:
    """One image's map: tiles (rows, cols) of tok x tok tokens, a crop (y, x, h, w), and the size to keep."""

    name: str
    tiles: tuple[int, int]
    tok: int
    crop: tuple[int, int, int, int]
    out: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the tiles' shape without channels: [1, R, C, Y, X]."""
        return (1, *self.tiles, self.tok, self.tok)

    def table(self) -> PackTable:
        """Return the pack table of the same work."""
        row = [0, self.tiles[1], self.tok, *self.crop, *self.out, 0, 0, 0, 0, 0]
        tokens = self.out[0] * self.out[1]
        return PackTable.of([row], [tokens], num_source=self.tiles[0] * self.tiles[1] * self.tok**2)


def cases() -> list[MapCase]:
    """Return the OneVision images whose map is thresholded, named by their size."""
    found = []
    for (height, width), tiles, crop, out in ONEVISION.plans:
        if crop[2:] != out:
            name = f"threshold-{width}x{height}"
            found.append(MapCase(name=name, tiles=tiles, tok=ONEVISION.tok, crop=crop, out=out))
    return found


def works(setting: Setting) -> Iterator[Work]:
    """Give each map's thresholding, then its gradient."""
    for case in cases():
        if setting.wants(case.name):
            yield from _case(case, setting)


def _case(case: MapCase, setting: Setting) -> Iterator[Work]:
    generator = torch.Generator().manual_seed(0)
    tiles = torch.randn(*case.shape, setting.width, generator=generator).to(setting.device, setting.dtype)
    thresholders = _thresholders(case, setting)
    expected = threshold_reference(tiles, case.crop, case.out).flatten(0, 2)
    calls = {name: _bound(thresholder, tiles) for name, thresholder in thresholders.items()}
    calls, left_out = checked(calls, expected)
    table = case.table()
    used = len(table.gather().taps.index_X.unique())
    row_bytes = setting.width * setting.dtype.itemsize
    shared = {
        "kernel": "threshold",
        "case": case.name,
        "width": setting.width,
        "dtype": setting.dtype,
        "shape": f"{case.crop[2]} x {case.crop[3]} -> {case.out[0]} x {case.out[1]} tokens",
        "peer": "eager",
    }
    yield Work(
        **shared,
        direction="forward",
        calls=calls,
        moved_bytes=(used + table.num_tokens) * row_bytes,
        left_out=left_out,
    )
    leaf, grad = tiles.requires_grad_(), torch.randn(expected.shape, generator=generator).to(expected)
    gradients = {name: _gradient(thresholders[name], leaf, grad) for name in calls}
    expected = gradient_of(lambda exact: threshold_reference(exact, case.crop, case.out).flatten(0, 2), tiles, grad)
    calls, left_out = checked(gradients, expected.flatten(0, 4), lambda call: call()[0].flatten(0, 4))
    del expected
    yield Work(
        **shared,
        direction="backward",
        calls=calls,
        left_out=left_out,
        # every token's gradient is written
        moved_bytes=(table.num_source + table.num_tokens) * row_bytes,
    )


def _thresholders(case: MapCase, setting: Setting) -> dict[str, Thresholder]:
    table = case.table().prepare(backward=True).to(setting.device)
    ends = torch.zeros(1, setting.width, device=setting.device, dtype=setting.dtype)
    thresholders: dict[str, Thresholder] = {
        "eager": lambda tiles: _eager(case, tiles),
        "channels last": lambda tiles: _channels_last(case, tiles),
        "pack": lambda tiles: pack(tiles.view(-1, case.tok**2, setting.width), ends, table),
        setting.ours: lambda tiles: threshold(tiles, case.crop, case.out).flatten(0, 2),
    }
    if setting.device == "cuda":
        thresholders["compiled"] = torch.compile(lambda tiles: _eager(case, tiles), dynamic=False)
    return thresholders


def _eager(case: MapCase, tiles: Tensor) -> Tensor:
    """Return the tokens [T, D] as transformers and official code make them: channels first, crop, resize."""
    map_1DHW = rearrange(tiles, "1 r c y x d -> 1 d (r y) (c x)").contiguous()
    y, x, h, w = case.crop
    small_1DPQ = F.interpolate(map_1DHW[:, :, y : y + h, x : x + w], size=case.out, mode="bilinear")
    return small_1DPQ.flatten(2)[0].transpose(0, 1).contiguous()


def _channels_last(case: MapCase, tiles: Tensor) -> Tensor:
    """Return the tokens [T, D] by torch's own resampling of a channels-last view of the assembled map."""
    map_1HWD = rearrange(tiles, "1 r c y x d -> 1 (r y) (c x) d")
    y, x, h, w = case.crop
    view_1DHW = map_1HWD[:, y : y + h, x : x + w].permute(0, 3, 1, 2)
    return rearrange(F.interpolate(view_1DHW, size=case.out, mode="bilinear"), "1 d p q -> (p q) d")


def _bound(thresholder: Thresholder, tiles: Tensor) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.no_grad():
            return thresholder(tiles)

    return call


def _gradient(thresholder: Thresholder, leaf: Tensor, grad: Tensor) -> Callable[[], object]:
    # thresholded by the first call
    small = functools.cache(lambda: thresholder(leaf))
    return lambda: torch.autograd.grad(small(), leaf, grad, retain_graph=True)
