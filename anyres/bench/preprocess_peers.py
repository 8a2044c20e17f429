"""What preprocessing is compared with: the official code's way, transformers' processors, and the floor.

The first is written from its description: PIL decodes and resizes, pastes the picture on a black canvas, cuts it with
crop, and a processor of its own normalises every tile. Each function returns what takes a file to its tiles.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import decode_jpeg
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil
from transformers.models.llava_next.image_processing_llava_next import LlavaNextImageProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_llava_onevision import LlavaOnevisionImageProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

from anyres.geometry import HW
from anyres.pixels import RGB
from anyres.plan import VisualPlan

Call = Callable[[], Tensor]
CLIP_PX = 336


def official(path: Path, plan: VisualPlan, mean: RGB, std: RGB) -> Call:
    """Return the official code's way: a canvas, crops, and one processor call for each tile."""
    side, (_, detail) = plan.tile.px, plan.canvases
    box = detail.content_px
    if side == CLIP_PX:
        crop = {"height": side, "width": side}
        colours = {"image_mean": list(mean), "image_std": list(std)}
        processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=crop, **colours)
    else:
        colours = {"image_mean": list(mean), "image_std": list(std), "resample": Image.Resampling.BICUBIC}
        processor = SiglipImageProcessorPil(size={"height": side, "width": side}, **colours)

    def tiles() -> Tensor:
        image = Image.open(path).convert("RGB")
        canvas = Image.new("RGB", (detail.tiles.w * side, detail.tiles.h * side), (0, 0, 0))
        canvas.paste(image.resize((box.w, box.h)), (box.x, box.y))
        corners = [(x, y) for y in range(0, canvas.height, side) for x in range(0, canvas.width, side)]
        patches = [canvas.crop((x, y, x + side, y + side)) for x, y in corners]
        every = [image.resize((side, side)), *patches]
        return torch.stack([processor.preprocess(one, return_tensors="pt")["pixel_values"][0] for one in every])

    return tiles


def transformers_pil(path: Path, side: int, layouts_px: Sequence[HW], mean: RGB, std: RGB) -> Call:
    """Return transformers' processor that resizes with PIL."""
    kind = LlavaNextImageProcessorPil if side == CLIP_PX else LlavaOnevisionImageProcessorPil
    return _processed(path, kind(**_settings(side, layouts_px, mean, std)))


def transformers_torchvision(path: Path, side: int, layouts_px: Sequence[HW], mean: RGB, std: RGB) -> Call:
    """Return transformers' default processor, which resizes with torchvision."""
    kind = LlavaNextImageProcessor if side == CLIP_PX else LlavaOnevisionImageProcessor
    return _processed(path, kind(**_settings(side, layouts_px, mean, std)))


def floor(path: Path, plan: VisualPlan) -> Call:
    """Return the least that there is to do: the fastest decoder, a torch resize for each view, the output filled once.

    The output's memory is there already.
    """
    sizes = [tuple(canvas.content_px.size) for canvas in plan.canvases]
    out_NCHW = torch.empty(plan.num_tiles, 3, plan.tile.px, plan.tile.px)

    def least() -> Tensor:
        data = path.read_bytes()
        if path.suffix == ".jpg":
            pixels_CHW = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        else:
            pixels_CHW = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
        for size in sizes:
            torch.nn.functional.interpolate(pixels_CHW[None], size, mode="bicubic", antialias=True)
        return out_NCHW.fill_(0)

    return least


def _processed(path: Path, processor: LlavaNextImageProcessorPil | LlavaNextImageProcessor) -> Call:
    return lambda: processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"][0]


def _settings(side: int, layouts_px: Sequence[HW], mean: RGB, std: RGB) -> dict[str, object]:
    """Return the settings of both releases' processors."""
    settings: dict[str, object] = {
        "image_mean": list(mean),
        "image_std": list(std),
        "resample": Image.Resampling.BICUBIC,
        "image_grid_pinpoints": [list(layout) for layout in layouts_px],
    }
    if side == CLIP_PX:
        crop = {"height": side, "width": side}
        return {**settings, "size": {"shortest_edge": side}, "crop_size": crop}
    return {**settings, "size": {"height": side, "width": side}}
