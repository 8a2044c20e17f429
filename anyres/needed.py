"""What of a plan has to be encoded: no tile whose tokens are all dropped, no canvas twice. Integers only.

The tokens of the plan, and what they are made of, stay the same: a plan is what is counted, drawn and shown, and this
is what a batch carries of it to the encoder.
"""

from dataclasses import dataclass, replace

from anyres.geometry import HW, Box
from anyres.plan import Canvas, Segment, VisualPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A plan of the same tokens as another one, and which of that one's tiles, in its order, are its own."""

    plan: VisualPlan
    tiles: tuple[int, ...]


def needed(plan: VisualPlan) -> Needed:
    """Return a plan of the same tokens with the fewest tiles that its integers allow.

    Rows and columns of tiles at a canvas's edge that no segment reads are cut off: they hold padding only, as around an
    image in a layout that is not its shape. Canvases that show the same become one: the overview of a square image and
    its layout of one tile. A canvas that is padded to a square, or of which nothing is read, is left as it is.
    """
    canvases: list[Canvas] = []
    place_of: dict[Canvas, int] = {}
    moved: list[tuple[int, Box]] = []
    tiles: list[int] = []
    first = 0
    for index, canvas in enumerate(plan.canvases):
        read = _tiles_read(plan, index)
        if canvas.fit != "paste" or read is None:
            read = Box(0, 0, *canvas.tiles)
        trimmed = _trimmed(canvas, read, plan.tile.px)
        if trimmed not in place_of:
            place_of[trimmed] = len(canvases)
            canvases.append(trimmed)
            tiles += [
                first + row * canvas.tiles.w + col
                for row in range(read.y, read.y + read.h)
                for col in range(read.x, read.x + read.w)
            ]
        moved.append((place_of[trimmed], read))
        first += canvas.tiles.area
    if len(tiles) == plan.num_tiles:
        return Needed(plan=plan, tiles=tuple(tiles))
    segments = tuple(_moved(segment, *moved[segment.canvas], plan.tile.tok) for segment in plan.segments)
    return Needed(plan=replace(plan, canvases=tuple(canvases), segments=segments), tiles=tuple(tiles))


def _tiles_read(plan: VisualPlan, index: int) -> Box | None:
    """Return the rows and columns of tiles of a canvas that its segments read, None for none."""
    tok = plan.tile.tok
    crops = [segment.crop_tok for segment in plan.segments if segment.canvas == index]
    crops = [crop for crop in crops if crop.h and crop.w]
    if not crops:
        return None
    top, left = min(crop.y for crop in crops) // tok, min(crop.x for crop in crops) // tok
    bottom = -(-max(crop.y + crop.h for crop in crops) // tok)
    right = -(-max(crop.x + crop.w for crop in crops) // tok)
    return Box(top, left, bottom - top, right - left)


def _trimmed(canvas: Canvas, read: Box, tile_px: int) -> Canvas:
    content = canvas.content_px
    content = Box(content.y - read.y * tile_px, content.x - read.x * tile_px, content.h, content.w)
    return replace(canvas, tiles=HW(read.h, read.w), content_px=content)


def _moved(segment: Segment, place: int, read: Box, tok: int) -> Segment:
    crop = segment.crop_tok
    if not crop.h or not crop.w:
        # an empty crop may lie anywhere
        return replace(segment, canvas=place, crop_tok=Box(0, 0, min(crop.h, read.h * tok), min(crop.w, read.w * tok)))
    return replace(segment, canvas=place, crop_tok=Box(crop.y - read.y * tok, crop.x - read.x * tok, crop.h, crop.w))
