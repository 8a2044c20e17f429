"""Which of transformers' four LLaVA classes a model is, and what in a spec that class cannot hold."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from models.checkpoints.ends import TABLE
from models.spec import ModelSpec

Kind = Literal["llava", "llava_next", "llava_next_video", "llava_onevision"]

# class names begin with these
NAMES: dict[Kind, str] = {
    "llava": "Llava",
    "llava_next": "LlavaNext",
    "llava_next_video": "LlavaNextVideo",
    "llava_onevision": "LlavaOnevision",
}
WITH_CLIPS = ("llava_next_video", "llava_onevision")
# its processor counts a quarter of a frame's tokens, whatever the model's stride
NEXT_VIDEO_POOL = 2
ONEVISION_SLACK = 1.1


def class_of(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> Kind:
    """Return the class that shows media as `spec` does.

    Clips pooled before the projector make it LLaVA-NeXT-Video; one view an image LLaVA; a tile target, or several
    images padded to one view each, OneVision; else LLaVA-NeXT. Raises ValueError naming every setting it cannot hold.
    """
    kind = _kind(spec)
    reasons = {**_common(spec, tensors), **_images(spec, kind, tensors), **_clips(spec, kind)}
    found = [reason for reason, wrong in reasons.items() if wrong]
    if found:
        raise ValueError(f"{spec.name}: transformers' {NAMES[kind]} class cannot hold {'; '.join(found)}")
    return kind


def target_tiles(spec: ModelSpec) -> int:
    """Return N of OneVision's anyres_max_N; without a target, one that no grid of the list exceeds."""
    return spec.grid.target_tiles or max(layout.area for layout in spec.grid.layouts)


def _kind(spec: ModelSpec) -> Kind:
    if spec.video.pool_before_projector:
        return "llava_next_video"
    if not spec.grid.layouts:
        return "llava"
    return "llava_onevision" if spec.grid.target(spec.encoder.tile) or spec.several == "pad" else "llava_next"


def _common(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> dict[str, bool]:
    rows, encoder = tensors[TABLE].shape[0], spec.encoder
    return {
        f"projector.kind {spec.projector.kind!r}, expected 'mlp2x_gelu'": spec.projector.kind != "mlp2x_gelu",
        f"{rows} end vectors, expected 1": rows != 1,
        "a second tower": encoder.second is not None,
        f"encoder.trained_px {encoder.trained_px}, expected the tile's {encoder.tile_px}": (
            encoder.position_px != encoder.tile_px
        ),
    }


def _images(spec: ModelSpec, kind: Kind, tensors: Mapping[str, Tensor]) -> dict[str, bool]:
    grid = spec.grid
    if kind == "llava":
        used = spec.video.end != "no_token" and bool(tensors[TABLE].any())
        return {
            f"grid.merge {grid.merge!r}, expected 'flat': it has no end vector": grid.merge not in ("flat", "spatial"),
            f"the end vectors of clips (video.end {spec.video.end!r})": used,
        }
    reasons = {
        "a grid without layouts": not grid.layouts,
        f"grid.merge {grid.merge!r}, expected 'spatial_unpad'": grid.merge != "spatial_unpad",
        f"grid.overview {grid.overview!r}, expected 'squash'": grid.overview != "squash",
    }
    if kind != "llava_onevision":
        more = {
            "a token target": grid.target(spec.encoder.tile) is not None,
            f"several {spec.several!r}, expected 'grid'": spec.several != "grid",
        }
        return reasons | more
    limited = grid.target(spec.encoder.tile) is not None
    more = {
        "grid.target_tok, expected target_tiles": grid.target_tok is not None,
        f"grid.slack {grid.slack}, expected {ONEVISION_SLACK}": limited and grid.slack != ONEVISION_SLACK,
        f"grid.rule {grid.rule!r}, expected 'released'": limited and grid.rule != "released",
        f"several {spec.several!r}, expected 'pad'": spec.several != "pad",
    }
    return reasons | more


def _clips(spec: ModelSpec, kind: Kind) -> dict[str, bool]:
    """Return what is wrong with the clips of a class that has some; the other ones record them beside their config."""
    video = spec.video
    if kind not in WITH_CLIPS:
        return {}
    pooling = f"video.pool {video.pool}, pool_mode {video.pool_mode!r}"
    shared = {
        "video.slow_every": video.slow_every is not None,
        "video.fit 'pad'": video.fit == "pad",
    }
    if kind == "llava_onevision":
        return shared | {
            f"{pooling}, expected 2, 'bilinear'": (video.pool, video.pool_mode) != (2, "bilinear"),
            f"video.end {video.end!r}, expected 'one_token'": video.end != "one_token",
        }
    tok = spec.encoder.tile.tok
    return shared | {
        f"{pooling} before the projector, expected {NEXT_VIDEO_POOL}, 'average' or 'max'": (
            video.pool != NEXT_VIDEO_POOL or video.pool_mode not in ("average", "max")
        ),
        f"frames of {tok}x{tok} tokens, of which its processor counts a quarter": tok % NEXT_VIDEO_POOL != 0,
        f"video.end {video.end!r}, expected 'no_token'": video.end != "no_token",
    }
