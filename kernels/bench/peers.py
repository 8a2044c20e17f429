"""The same work done by transformers, for comparison.

Legend: N tiles, P tokens per tile, D width, T packed tokens, F frames.
"""

from types import SimpleNamespace

import torch
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
