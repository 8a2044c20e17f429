"""A picture of plans: tiles, removed padding, kept tokens and row ends over an image, or over the frames of a clip."""

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from anyres.geometry import HW
from anyres.paint import INK, PAPER, ROW_END, SOFT, TILE, Area, Sheet
from anyres.plan import Canvas, Segment, VisualPlan
from anyres.report import PlannedMedium, token_steps

Frame = Image.Image | np.ndarray

_WIDTH = 1280
_MARGIN = 36
_HEAD = 112
_LEGEND = 44
_OVERVIEW = 300
_OVERVIEW_MOST = 430
_GAP = 44
_TALLEST = 720
_MARK = 7


def draw_media(media: Sequence[PlannedMedium], frames: Sequence[Sequence[Frame]], path: Path) -> None:
    """Write a picture of every plan, one below the other. frames: an image's one frame, or a clip's, in order.

    Raises ValueError for a file name that PIL has no format for, OSError when the file cannot be written.
    """
    panels = [draw_medium(medium, pictures) for medium, pictures in zip(media, frames, strict=True)]
    sheet = Image.new("RGB", (_WIDTH, sum(panel.height for panel in panels)), PAPER)
    top = 0
    for panel in panels:
        sheet.paste(panel, (0, top))
        top += panel.height
    # for formats with loss: sharp text and thin lines
    sheet.save(path, quality=90, subsampling=0)


def draw_medium(medium: PlannedMedium, frames: Sequence[Frame]) -> Image.Image:
    """Return the picture of one plan, 1280 pixels wide."""
    pictures = [_as_image(frame) for frame in frames]
    return _draw_clip(medium, pictures) if medium.clip is not None else _draw_image(medium, pictures[0])


def placeholder(size: HW) -> Image.Image:
    """Return a plain picture for a size without a file: a slow gradient of at most 1024 pixels a side."""
    scale = min(1.0, 1024 / max(size))
    h, w = max(1, round(size.h * scale)), max(1, round(size.w * scale))
    ramp_H1, ramp_1W = np.linspace(0, 1, h)[:, None], np.linspace(0, 1, w)[None, :]
    planes = np.broadcast_arrays(70 + 60 * ramp_1W, 105 + 40 * ramp_H1, 150 - 30 * ramp_1W + 30 * ramp_H1)
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def _draw_image(medium: PlannedMedium, picture: Image.Image) -> Image.Image:
    plan = medium.plan
    shown = [index for index in range(len(plan.canvases)) if index != medium.detail]
    room = _WIDTH - 2 * _MARGIN - 2 * _MARK
    detail = _fitted(plan, medium.detail, room - (_OVERVIEW + _GAP if shown else 0))
    # the overview takes what the detail canvas leaves of the width
    left = min(_OVERVIEW_MOST, round(room - _GAP - detail.w)) if shown else 0
    height = max(left + 30, round(detail.h) + 30 if medium.detail is not None else 0)
    sheet = Sheet(_WIDTH, _HEAD + height + _LEGEND + _MARGIN)
    _head(sheet, medium)
    for index in shown:
        _draw_canvas(sheet, plan, index, picture, Area(_MARGIN, _HEAD + 26, left, left), "overview")
    if medium.detail is not None:
        x = _MARGIN + (left + _GAP if shown else 0)
        tiles = plan.canvases[medium.detail].tiles
        label = f"detail: {tiles.h} x {tiles.w} tiles of {plan.tile.px} px"
        _draw_canvas(sheet, plan, medium.detail, picture, Area(x, _HEAD + 26, detail.w, detail.h), label)
    _legend(sheet, plan, _HEAD + height + 14)
    return sheet.finished()


def _draw_clip(medium: PlannedMedium, pictures: Sequence[Image.Image]) -> Image.Image:
    plan, count = medium.plan, len(pictures)
    cols = min(count, max(4, ceil(sqrt(2 * count))))
    side = (_WIDTH - 2 * _MARGIN - (cols - 1) * 22 - _MARK) / cols
    rows = ceil(count / cols)
    height = round(rows * (side + 40))
    sheet = Sheet(_WIDTH, _HEAD + height + _LEGEND + _MARGIN)
    _head(sheet, medium)
    assert medium.clip is not None
    for i, picture in enumerate(pictures):
        y = _HEAD + 26 + (i // cols) * (side + 40)
        area = Area(_MARGIN + (i % cols) * (side + 22), y, side, side)
        frame = medium.clip["frame_indices"][i]
        seconds = f"{frame / medium.clip['fps']:.1f} s"
        label = seconds if side < 130 else f"frame {frame}, {seconds}"
        _draw_canvas(sheet, plan, i, picture, area, label)
    _legend(sheet, plan, _HEAD + height + 14)
    return sheet.finished()


def _draw_canvas(sheet: Sheet, plan: VisualPlan, index: int, picture: Image.Image, area: Area, label: str) -> None:
    canvas = plan.canvases[index]
    segments = [segment for segment in plan.segments if segment.canvas == index]
    tokens = sum(segment.num_tokens for segment in segments)
    sheet.text(area.x, area.y - 8, label, 14, SOFT, anchor="ls")
    if area.w > 250:
        sheet.text(area.right, area.y - 8, f"{tokens:,} tokens", 14, SOFT, anchor="rs")
    sheet.picture(_rendered(plan, canvas, index, picture), area)
    _shade_removed(sheet, plan, index, segments, area)
    for segment in segments:
        crop = _on_sheet(plan, index, segment, area)
        sheet.grid(crop, segment.out)
        _mark_ends(sheet, segment, crop)
    for row in range(canvas.tiles.h):
        for col in range(canvas.tiles.w):
            h, w = area.h / canvas.tiles.h, area.w / canvas.tiles.w
            sheet.frame(Area(area.x + col * w, area.y + row * h, w, h), TILE, 2)
            if canvas.tiles.area > 1:
                number = str(row * canvas.tiles.w + col + 1)
                sheet.chip(area.x + col * w + 6, area.y + row * h + 6, number, 12, TILE, PAPER)


def _shade_removed(sheet: Sheet, plan: VisualPlan, index: int, segments: Sequence[Segment], area: Area) -> None:
    if len(segments) != 1:
        return
    crop = _on_sheet(plan, index, segments[0], area)
    sheet.hatch(Area(area.x, area.y, area.w, crop.y - area.y))
    sheet.hatch(Area(area.x, crop.bottom, area.w, area.bottom - crop.bottom))
    sheet.hatch(Area(area.x, crop.y, crop.x - area.x, crop.h))
    sheet.hatch(Area(crop.right, crop.y, area.right - crop.right, crop.h))


def _mark_ends(sheet: Sheet, segment: Segment, crop: Area) -> None:
    if segment.end == "row":
        step = crop.h / max(1, segment.out.h)
        gap = min(1.0, step / 4)
        for row in range(segment.out.h):
            sheet.fill(Area(crop.right + 3, crop.y + row * step + gap / 2, _MARK, step - gap), ROW_END)
    if segment.end == "segment":
        sheet.fill(Area(crop.right + 3, crop.bottom - 14, _MARK, 14), ROW_END)
    if segment.closing is not None:
        # below the last row's end, lying down
        sheet.fill(Area(crop.right + 3 + _MARK - 14, crop.bottom + 3, 14, _MARK), ROW_END)


def _rendered(plan: VisualPlan, canvas: Canvas, index: int, picture: Image.Image) -> Image.Image:
    size, box = plan.canvas_px(index), canvas.content_px
    # a preview: no need for more than about a thousand pixels a side
    scale = min(1.0, 1100 / max(size))
    ground = (0, 0, 0) if canvas.fit == "paste" else (127, 127, 127)
    sheet = Image.new("RGB", (max(1, round(size.w * scale)), max(1, round(size.h * scale))), ground)
    content = (max(1, round(box.w * scale)), max(1, round(box.h * scale)))
    sheet.paste(picture.resize(content, Image.Resampling.BICUBIC), (round(box.x * scale), round(box.y * scale)))
    return sheet


def _on_sheet(plan: VisualPlan, index: int, segment: Segment, area: Area) -> Area:
    size, crop = plan.canvas_tok(index), segment.crop_tok
    across, down = area.w / size.w, area.h / size.h
    return Area(area.x + crop.x * across, area.y + crop.y * down, crop.w * across, crop.h * down)


def _fitted(plan: VisualPlan, index: int | None, room: float) -> Area:
    if index is None:
        return Area(0, 0, 0, 0)
    size = plan.canvas_px(index)
    scale = min(room / size.w, _TALLEST / size.h)
    return Area(0, 0, size.w * scale, size.h * scale)


def _head(sheet: Sheet, medium: PlannedMedium) -> None:
    x = _MARGIN + sheet.text(_MARGIN, 24, Path(medium.name).name, 24) + 12
    size = f"{medium.size.w} x {medium.size.h} px" if medium.name != f"{medium.size.w}x{medium.size.h}" else "pixels"
    sheet.text(x, 31, size, 16, SOFT)
    steps = token_steps(medium.plan)
    tiles = "1 tile" if medium.plan.num_tiles == 1 else f"{medium.plan.num_tiles} tiles"
    words = [tiles, f"{steps['tokens_encoded']:,} tokens encoded"]
    if steps["tokens_kept"] != steps["tokens_encoded"]:
        words.append(f"{steps['tokens_kept']:,} after padding removal")
    if steps["tokens_resampled"] != steps["tokens_kept"]:
        words.append(f"{steps['tokens_resampled']:,} after {'pooling' if medium.clip is not None else 'the target'}")
    if steps["row_ends"]:
        words.append(f"+ {steps['row_ends']:,} row end{'s' * (steps['row_ends'] > 1)}")
    x = _MARGIN
    for word in words:
        x += sheet.chip(x, 64, word, 15) + 8
    total = f"= {steps['tokens']:,} tokens, {100 * medium.price.context_share:.0f}% of the context"
    sheet.chip(x, 64, total, 15, INK, PAPER)


def _legend(sheet: Sheet, plan: VisualPlan, y: float) -> None:
    steps = token_steps(plan)
    entries = ["tile", "kept token"]
    entries += ["padding, removed"] if steps["tokens_kept"] < steps["tokens_encoded"] else []
    entries += ["row end (a learned vector)"] if steps["row_ends"] else []
    x: float = _MARGIN
    for words in entries:
        swatch = Area(x, y, 22, 16)
        if words == "tile":
            sheet.frame(swatch, TILE, 2)
        elif words == "kept token":
            sheet.fill(swatch, (120, 140, 165))
            sheet.grid(swatch, HW(2, 3))
        elif words == "padding, removed":
            sheet.hatch(swatch)
        else:
            sheet.fill(Area(x + 8, y, _MARK, 16), ROW_END)
        x += 30 + sheet.text(x + 30, y + 8, words, 14, SOFT, anchor="lm") + 26


def _as_image(frame: Frame) -> Image.Image:
    return frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
