"""The same work done by transformers, and by eager PyTorch as official code writes it, for comparison.

Legend: N tiles, P tokens per tile, D width, T packed tokens, F frames.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from transformers import LlavaNextModel, LlavaOnevisionModel
from transformers.models.llava_next_video.modeling_llava_next_video import LlavaNextVideoPooler

from kernels.bench.cases import ClipCase, ImageCase


def transformers_merge(case: ImageCase | ClipCase, features_NPD: Tensor, newline_D: Tensor) -> Tensor:
    """Return the packed tokens [T, D] as transformers makes them."""
    return _images(case, features_NPD, newline_D) if isinstance(case, ImageCase) else _clip(case, features_NPD)


def _images(case: ImageCase, features_NPD: Tensor, newline_D: Tensor) -> Tensor:
    features = features_NPD.split(case.tiles)
    sizes = torch.tensor(case.sizes)
    layouts = [list(layout) for layout in case.layouts_px]
    vision = SimpleNamespace(image_size=case.tile_px, patch_size=case.tile_px // case.tok)
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision, image_grid_pinpoints=layouts))
    if case.max_tiles is None:
        packed, _ = LlavaNextModel.pack_image_features(model, features, sizes, "default", image_newline=newline_D)
    else:
        packed, _ = LlavaOnevisionModel.pack_image_features(
            model, features, sizes, image_newline=newline_D, vision_aspect_ratio=f"anyres_max_{case.max_tiles}"
        )
    return torch.cat(packed)


def _clip(case: ClipCase, frames_FPD: Tensor) -> Tensor:
    vision = SimpleNamespace(image_size=case.tok, patch_size=1, hidden_size=frames_FPD.shape[-1])
    config = SimpleNamespace(vision_config=vision, spatial_pool_mode=case.reduce, spatial_pool_stride=2)
    if case.out_tok * 2 == case.tok:
        return LlavaNextVideoPooler(config)(frames_FPD).flatten(0, 1)
    return LlavaOnevisionModel.apply_pooling(SimpleNamespace(config=config), frames_FPD).flatten(0, 1)


def eager_merge(case: ImageCase | ClipCase, features_NPD: Tensor, newline_D: Tensor) -> Tensor:
    """Return the packed tokens [T, D] as eager PyTorch code is usually written: permute, crop, resize, append, join."""
    if isinstance(case, ClipCase):
        return _eager_clip(case, features_NPD)
    pieces, start = [], 0
    for tiles, (_, (rows, cols), (y, x, h, w), out) in zip(case.tiles, case.plans, strict=True):
        overview_PD, detail_NPD = features_NPD[start], features_NPD[start + 1 : start + tiles]
        map_DHW = rearrange(
            detail_NPD, "(r c) (y x) d -> d (r y) (c x)", r=rows, c=cols, y=case.tok, x=case.tok
        ).contiguous()
        map_DHW = map_DHW[:, y : y + h, x : x + w]
        if out != (h, w):
            map_DHW = F.interpolate(map_DHW[None], size=out, mode="bilinear")[0]
        ends_DH1 = newline_D[:, None, None].expand(-1, map_DHW.shape[1], 1)
        closed_DHW = torch.cat([map_DHW, ends_DH1], dim=2)
        pieces.append(torch.cat([overview_PD, closed_DHW.flatten(1, 2).transpose(0, 1)]))
        start += tiles
    return torch.cat(pieces)


def _eager_clip(case: ClipCase, frames_FPD: Tensor) -> Tensor:
    map_FDHW = rearrange(frames_FPD, "f (y x) d -> f d y x", y=case.tok).contiguous()
    if case.reduce == "bilinear":
        small_FDHW = F.interpolate(map_FDHW, size=(case.out_tok, case.out_tok), mode="bilinear")
    else:
        pool = F.avg_pool2d if case.reduce == "average" else F.max_pool2d
        small_FDHW = pool(map_FDHW, case.tok // case.out_tok)
    return rearrange(small_FDHW, "f d y x -> (f y x) d")
