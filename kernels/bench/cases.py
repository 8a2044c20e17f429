"""The batches that packing is timed on: eight mixed images under two presets, and a clip under three poolings.

Sizes are (h, w). Integers only: what each image's plan says is written out, and a test compares it with the planner.
"""

from dataclasses import dataclass

from kernels.pack.columns import END_CODES, REDUCE_CODES
from kernels.pack.table import PackTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCase:
    """A batch of images, each an overview tile and a detail map with closed rows.

    tile_px, tok: pixels and tokens per side of a tile. layouts_px: canvases (h, w) to choose from, in the order that
    transformers reads. max_tiles: N of anyres_max_N, or None. plans: image size, tiles (rows, cols), crop (y, x, h, w)
    and out size in tokens, per image.
    """

    name: str
    tile_px: int
    tok: int
    layouts_px: tuple[tuple[int, int], ...]
    max_tiles: int | None
    plans: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """Return the images' sizes (h, w)."""
        return [plan[0] for plan in self.plans]

    @property
    def tiles(self) -> list[int]:
        """Return each image's number of tiles, its overview included."""
        return [1 + rows * cols for _, (rows, cols), _, _ in self.plans]

    def table(self) -> PackTable:
        """Return the batch's pack table."""
        rows, counts, src, dst = [], [], 0, 0
        whole, area = (self.tok, self.tok), self.tok**2
        for tiles, (_, (_, cols), crop, out) in zip(self.tiles, self.plans, strict=True):
            rows.append([src, 1, self.tok, 0, 0, *whole, *whole, END_CODES["none"], 0, dst, 0, 0])
            rows.append([src + area, cols, self.tok, *crop, *out, END_CODES["row"], 0, dst + area, 0, 0])
            counts += [area, out[0] * (out[1] + 1)]
            src, dst = src + tiles * area, dst + counts[-2] + counts[-1]
        return PackTable.of(rows, counts, num_source=src)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipCase:
    """A clip of one-tile frames, each pooled to out_tok tokens a side, without end vectors. reduce: of REDUCE_CODES."""

    name: str
    frames: int
    tok: int
    out_tok: int
    reduce: str

    def table(self) -> PackTable:
        """Return the clip's pack table."""
        area, out = self.tok**2, self.out_tok**2
        sides = [0, 0, self.tok, self.tok, self.out_tok, self.out_tok]
        rest = [REDUCE_CODES[self.reduce], 0]
        rows = [[f * area, 1, self.tok, *sides, END_CODES["none"], 0, f * out, *rest] for f in range(self.frames)]
        return PackTable.of(rows, [out] * self.frames, num_source=self.frames * area)


NEXT = ImageCase(
    name="next-336",
    tile_px=336,
    tok=24,
    layouts_px=((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008), (1344, 336), (336, 1344)),
    max_tiles=None,
    plans=(
        ((480, 640), (2, 2), (6, 0, 36, 48), (36, 48)),
        ((1147, 1920), (2, 2), (10, 0, 28, 48), (28, 48)),
        ((3000, 4000), (2, 2), (6, 0, 36, 48), (36, 48)),
        ((200, 1000), (1, 3), (5, 0, 14, 72), (14, 72)),
        ((1000, 200), (3, 1), (0, 5, 72, 14), (72, 14)),
        ((2558, 1918), (2, 2), (0, 6, 48, 36), (48, 36)),
        ((336, 336), (1, 2), (0, 12, 24, 24), (24, 24)),
        ((667, 1000), (2, 2), (8, 0, 32, 48), (32, 48)),
    ),
)
ONEVISION = ImageCase(
    name="onevision-384-max-9",
    tile_px=384,
    tok=27,
    layouts_px=tuple((384 * rows, 384 * cols) for rows in range(1, 7) for cols in range(1, 7)),
    max_tiles=9,
    plans=(
        ((480, 640), (2, 2), (7, 0, 40, 54), (40, 54)),
        ((1147, 1920), (3, 5), (0, 0, 81, 135), (62, 104)),
        ((3000, 4000), (5, 6), (7, 0, 121, 162), (70, 93)),
        ((200, 1000), (1, 3), (5, 0, 17, 81), (17, 81)),
        ((1000, 200), (3, 1), (0, 5, 81, 17), (81, 17)),
        ((2558, 1918), (6, 5), (0, 7, 162, 121), (93, 70)),
        ((336, 336), (1, 1), (0, 0, 27, 27), (27, 27)),
        ((667, 1000), (2, 3), (0, 0, 54, 81), (54, 81)),
    ),
)
POOL_24 = ClipCase(name="pool-24-to-12", frames=32, tok=24, out_tok=12, reduce="average")
POOL_24_MAX = ClipCase(name="pool-24-to-12-max", frames=32, tok=24, out_tok=12, reduce="max")
POOL_27 = ClipCase(name="pool-27-to-14", frames=32, tok=27, out_tok=14, reduce="bilinear")

CASES: dict[str, ImageCase | ClipCase] = {case.name: case for case in (NEXT, ONEVISION, POOL_24, POOL_24_MAX, POOL_27)}
