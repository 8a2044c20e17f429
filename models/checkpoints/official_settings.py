"""What the keys of an official config.json mean: the grid, the frames, the projector, the text round a medium.

The plan settings are the released code's: its tie order and rounding.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from tokenizers import Tokenizer

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.checkpoints.pinpoints import layouts
from models.encoders.spec import EncoderSpec
from models.example import PLACEHOLDER
from models.projectors.kinds import parts_of
from models.spec import ProjectorSpec
from video.clip import VideoSpec

Config = Mapping[str, Any]

FRAMES = 16
SLOW_EVERY = 10
MERGES = ("flat", "spatial", "spatial_unpad", "spatial_maxpool2x2")
AROUND = ("<im_start>", "<im_end>")
# what config.json says beside the official keys, under "anyres"
OWN_KEYS = (
    *("template", "rope_factor", "rope_type", "several", "tokenization"),
    *("thin", "tie_order", "rounding", "overview"),
    *("policy", "fps", "fit", "pool_mode", "frames_as"),
)

# read here or by the tower
_READ = (
    *("mm_vision_tower", "mm_vision_select_layer", "mm_vision_select_feature", "mm_hidden_size", "mm_projector_type"),
    *("mm_patch_merge_type", "mm_resampler_type", "mm_pooling_position", "mm_newline_position"),
    *("mm_spatial_pool_mode", "mm_spatial_pool_stride", "mm_spatial_pool_out_channels"),
    *("mm_use_im_start_end", "mm_use_im_patch_token"),
)
# of training only, or of resamplers that are refused by their type
_UNREAD = ("mm_tunable_parts", "mm_projector_lr", "mm_vision_tower_lr", "mm_perceiver_", "mm_qformer_", "mm_mask_drop_")
_REFUSED = {
    "sep_image_conv_front": "each medium would be a turn of its own",
    "s2": "several scales of a tile are concatenated",
}


def check_keys(config: Config, where: str) -> None:
    """Raise ValueError for switches of the official code that change what the model reads and have no place here."""
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise ValueError(f"{where}: {key} true is not supported: {reason}")
    if config.get("mm_resampler_type") not in (None, "spatial_pool"):
        raise ValueError(f"{where}: mm_resampler_type {config['mm_resampler_type']!r} is none of null, spatial_pool")
    # a key that is off changes nothing
    mine = [key for key, value in config.items() if key.startswith("mm_") and value]
    unknown = [key for key in mine if key not in _READ and not key.startswith(_UNREAD)]
    if unknown:
        raise ValueError(f"{where}: unknown keys {', '.join(unknown)}; take out those that matter in training only")
    written = set(config.get("anyres", {})) - set(OWN_KEYS)
    if written:
        raise ValueError(f"{where}: anyres: unknown keys {', '.join(sorted(written))}, expected {', '.join(OWN_KEYS)}")


def check_tokens(config: Config, tokenizer: Tokenizer, where: str) -> None:
    """Raise ValueError where config.json and the tokenizer differ in the id of a token.

    image_token_index counts where the tokenizer has "<image>"; where it has none, no id stands for a medium.
    """
    said, found = config.get("image_token_index"), tokenizer.token_to_id(PLACEHOLDER)
    if said is not None and found is not None and said != found:
        raise ValueError(f"{where}: image_token_index {said}, but {PLACEHOLDER} has id {found} in the tokenizer")
    for token in AROUND:
        if config.get("mm_use_im_start_end") and tokenizer.token_to_id(token) is None:
            raise ValueError(f"{where}: mm_use_im_start_end true, but the tokenizer has no token {token}")


def around_of(config: Config) -> tuple[str, str]:
    """Return the text in front of and behind each medium."""
    return AROUND if config.get("mm_use_im_start_end") else ("", "")


def several_of(config: Config, grid: GridSpec, llm: str) -> Literal["grid", "pad"]:
    """Return how images that share a prompt are planned.

    The code that caps tiles (anyres_max), and that alone has Qwen classes, was trained with each of them padded.
    """
    own = config.get("anyres", {}).get("several")
    return own or ("pad" if grid.target_tiles is not None or llm.startswith("qwen") else "grid")


def projector_of(config: Config, dim_in: int, where: str) -> ProjectorSpec:
    """Return the projector. Raises ValueError for an unknown kind or a width that is not the tower's."""
    kind = config.get("mm_projector_type", "linear")
    try:
        parts_of(kind)
    except ValueError as error:
        raise ValueError(f"{where}: mm_projector_type {kind!r}: {error}") from error
    if config.get("mm_hidden_size", dim_in) != dim_in:
        raise ValueError(f"{where}: mm_hidden_size {config['mm_hidden_size']}, but the vision tower is {dim_in} wide")
    return ProjectorSpec(kind=kind, dim_in=dim_in, dim_out=config["hidden_size"])


def grid_of(config: Config, encoder: EncoderSpec, where: str) -> GridSpec:
    """Return how the released code tiles an image and merges its tokens, thin images included."""
    aspect, merge = config.get("image_aspect_ratio") or "square", config.get("mm_patch_merge_type", "flat")
    kind = merge.removesuffix("_nobase") if merge != "flat_nobase" else merge
    if kind not in MERGES:
        raise ValueError(f"{where}: mm_patch_merge_type {merge!r} is none of {', '.join(MERGES)} (_nobase)")
    own = _own(config, "thin", "tie_order", "rounding")
    if aspect in ("pad", "square"):
        # without a grid there is one view, which no merging changes; CLIP's own resizing crops the centre
        resized = config.get("anyres", {}).get("overview") or ("crop" if encoder.backend == "hf_clip" else "squash")
        return GridSpec(overview="pad" if aspect == "pad" else resized, merge=kind, **own)
    rest = {"overview": "none" if kind != merge else "squash", "merge": kind, "thin": "released", **own}
    if aspect == "highres":
        return GridSpec(layouts=(_largest_square(config, encoder, kind, where),), detail="pad_square", **rest)
    found = re.fullmatch(r"anyres(?:_max_(\d+))?", aspect)
    if found is None:
        reason = ": its crops have no overview, and the released code no longer runs" if aspect == "crop_split" else ""
        raise ValueError(
            f"{where}: image_aspect_ratio {aspect!r} is none of pad, square, highres, anyres, anyres_max_N{reason}"
        )
    grids = layouts(config.get("image_grid_pinpoints") or (), encoder.tile_px, f"{where}: image_grid_pinpoints")
    if not grids:
        raise ValueError(f"{where}: image_aspect_ratio {aspect!r} needs image_grid_pinpoints, got none")
    target = int(found.group(1)) if found.group(1) and kind == "spatial_unpad" else None
    return GridSpec(layouts=grids, target_tiles=target, **rest)


def _largest_square(config: Config, encoder: EncoderSpec, merge: str, where: str) -> HW:
    """Return the one grid of "highres": the released code takes the largest edge of the list, whatever the image."""
    edges = config.get("image_grid_pinpoints")
    if not isinstance(edges, str) or not re.fullmatch(r"\d+(,\d+)*", edges):
        raise ValueError(f"{where}: image_grid_pinpoints: highres needs a string 'EDGE,EDGE,...', got {edges!r}")
    edge_px = max(map(int, edges.split(",")))
    side, rest = divmod(edge_px, encoder.tile_px)
    if rest or side < 1:
        raise ValueError(
            f"{where}: image_grid_pinpoints: highres edge {edge_px} is no multiple of the tile's {encoder.tile_px}"
        )
    if merge != "flat" and side != 2:
        raise ValueError(
            f"{where}: the released code merges highres tiles as 2 x 2 whatever there is, and {edge_px} px make "
            f"{side} x {side}; mm_patch_merge_type flat reads them"
        )
    return HW(side, side)


def video_of(config: Config, encoder: EncoderSpec, where: str) -> VideoSpec:
    """Return how the released code pools and closes frames."""
    resampled = config.get("mm_resampler_type") == "spatial_pool"
    position = config.get("mm_pooling_position") or "before"
    if resampled and position not in ("before", "after"):
        raise ValueError(f"{where}: mm_pooling_position {position!r} is none of before, after")
    # without the resampler no released code reads the position: it pools projected features
    pooled_first = resampled and position == "before"
    mode = config.get("mm_spatial_pool_mode", "average" if resampled else "bilinear")
    if mode not in ("average", "bilinear", "max"):
        raise ValueError(f"{where}: mm_spatial_pool_mode {mode!r} is none of average, bilinear, max")
    return VideoSpec(
        num_frames=config.get("frames_upbound") or FRAMES,
        pool=config.get("mm_spatial_pool_stride") or 2,
        pool_before_projector=pooled_first,
        end=_end(config, pooled_first, where),
        slow_every=(config.get("faster_token_stride") or SLOW_EVERY) if config.get("add_faster_video") else None,
        **{
            "pool_mode": mode,
            "fit": "crop" if encoder.backend == "hf_clip" else "squash",
            **_own(config, "policy", "fps", "fit", "pool_mode", "frames_as"),
        },
    )


def _own(config: Config, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.get("anyres", {}).items() if key in keys}


def _end(config: Config, pooled_first: bool, where: str) -> Literal["grid", "frame", "one_token", "no_token"]:
    merge = config.get("mm_patch_merge_type", "flat")
    # a config without the key means one vector after the clip, and none where frames are pooled first
    end = config.get("mm_newline_position") or ("no_token" if pooled_first else "one_token")
    if end not in ("grid", "frame", "one_token", "no_token"):
        raise ValueError(f"{where}: mm_newline_position {end!r} is none of grid, frame, one_token, no_token")
    if merge == "flat" or (end == "one_token" and "unpad" not in merge):
        return "no_token"
    if end != "no_token" and "unpad" not in merge:
        raise ValueError(f"{where}: mm_newline_position {end!r} needs image_newline, but merging by {merge!r} has none")
    return end
