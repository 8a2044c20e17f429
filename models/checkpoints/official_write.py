"""Write a checkpoint as an official LLaVA folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.checkpoints.ends import TABLE, split_ends
from models.checkpoints.format import TOKENIZER, Checkpoint, write_json
from models.checkpoints.official import LLMS, official_layout
from models.checkpoints.official_settings import around_of, grid_of, video_of
from models.checkpoints.official_tower import WRITTEN, tower_keys
from models.checkpoints.pinpoints import pinpoints
from models.checkpoints.rename import rename
from models.checkpoints.tensors import TensorWriter, write_tensors
from models.checkpoints.tower import tower_config
from models.llms.rope import legacy_rope, scale_rope
from models.spec import ModelSpec


def write_official(folder: Path, checkpoint: Checkpoint, write: TensorWriter = write_tensors) -> None:
    """Write a checkpoint with the official tensor names, its tower among the weights; config.json last.

    The tower's config lies in the sub-folder vision_tower. config.json records under "anyres" what it has no key for.
    Raises ValueError for what the official layout cannot hold.
    """
    spec = checkpoint.spec
    config = config_of(checkpoint)
    _check(config, spec)
    unpad = spec.grid.merge == "spatial_unpad"
    if not unpad and checkpoint.tensors[TABLE].any():
        raise ValueError(f"{spec.name}: grid.merge {spec.grid.merge!r} has no end vectors in the official layout")
    split = split_ends(checkpoint.tensors, keep=unpad)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    write(folder, split.renamed(rename(split, "anyres", official_layout(spec.projector))))
    checkpoint.tokenizer.save(str(folder / TOKENIZER))
    _write_tower(folder / WRITTEN, spec)
    write_json(folder / "config.json", config)


def config_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the official config.json of a checkpoint. Raises ValueError for what it has no key for."""
    spec = checkpoint.spec
    llm = scale_rope(dict(checkpoint.llm_config), spec.rope_factor, spec.rope_type)
    kind = llm["model_type"]
    names = [name for name, value in LLMS.items() if value == kind]
    if not names:
        raise ValueError(f"{spec.name}: the official layout has no class for a language model of type {kind!r}")
    return {
        **llm,
        # what the released code reads; it knows no rope_parameters
        **legacy_rope(llm),
        "architectures": [names[0]],
        "model_type": next(name for name in names if name.islower()),
        "dtype": spec.dtype,
        "torch_dtype": spec.dtype,
        **tower_keys(spec.encoder),
        "mm_projector_type": spec.projector.kind,
        "mm_use_im_start_end": spec.around != ("", ""),
        "mm_use_im_patch_token": False,
        "tokenizer_model_max_length": spec.context,
        **_grid_keys(spec),
        **_video_keys(spec),
        "anyres": _own_keys(spec),
    }


def _own_keys(spec: ModelSpec) -> dict[str, Any]:
    """Return what the official config has no key for."""
    grid, video = spec.grid, spec.video
    single = {} if grid.layouts else {"overview": grid.overview}
    return {
        "template": spec.template,
        "rope_factor": spec.rope_factor,
        "rope_type": spec.rope_type,
        "several": spec.several,
        "tokenization": spec.tokenization,
        "thin": grid.thin,
        "tie_order": grid.tie_order,
        "rounding": grid.rounding,
        **single,
        **({"pool_mode": "none"} if video.pool_mode == "none" else {}),
        "policy": video.policy,
        "fps": video.fps,
        "fit": video.fit,
        "frames_as": video.frames_as,
    }


def _check(config: Mapping[str, Any], spec: ModelSpec) -> None:
    """Raise ValueError unless reading the config gives the settings that it was written from."""
    where = f"{spec.name}: the official layout"
    pairs = {
        "grid": (grid_of(config, spec.encoder, where), spec.grid),
        "video": (video_of(config, spec.encoder, where), spec.video),
        "around": (around_of(config), spec.around),
    }
    for name, (read, written) in pairs.items():
        if read != written:
            raise ValueError(f"{where} has no keys for {name} {written}; the nearest that it holds is {read}")


def _grid_keys(spec: ModelSpec) -> dict[str, Any]:
    grid = spec.grid
    tiles = grid.target_tiles
    if grid.target_tok is not None or grid.rule != "released" or (tiles is not None and grid.slack != 1.1):
        raise ValueError(f"{spec.name}: the official layout holds no token target but anyres_max_N with slack 1.1")
    merge = grid.merge + ("_nobase" if grid.layouts and grid.overview == "none" else "")
    if not grid.layouts:
        # the processors' own resizing has no name
        return {"mm_patch_merge_type": merge, "image_aspect_ratio": "pad" if grid.overview == "pad" else "square"}
    if grid.overview not in ("squash", "none"):
        raise ValueError(f"{spec.name}: overview {grid.overview!r} beside a grid has no name in the official layout")
    if grid.detail == "pad_square":
        edges = ",".join(str(layout.h * spec.encoder.tile_px) for layout in grid.layouts)
        return {"mm_patch_merge_type": merge, "image_aspect_ratio": "highres", "image_grid_pinpoints": edges}
    return {
        "mm_patch_merge_type": merge,
        "image_aspect_ratio": "anyres" if tiles is None else f"anyres_max_{tiles}",
        "image_grid_pinpoints": pinpoints(grid.layouts, spec.encoder.tile_px),
    }


def _video_keys(spec: ModelSpec) -> dict[str, Any]:
    video = spec.video
    keys: dict[str, Any] = {
        # no pooling has no name, but a stride of 1 is none
        "mm_spatial_pool_mode": "bilinear" if video.pool_mode == "none" else video.pool_mode,
        "mm_spatial_pool_stride": 1 if video.pool_mode == "none" else video.pool,
        "mm_newline_position": video.end,
        "frames_upbound": video.num_frames,
        "add_time_instruction": spec.times,
    }
    if video.slow_every is not None:
        keys |= {"add_faster_video": True, "faster_token_stride": video.slow_every}
    return keys | ({"mm_resampler_type": "spatial_pool"} if video.pool_before_projector else {})


def _write_tower(folder: Path, spec: ModelSpec) -> None:
    folder.mkdir(exist_ok=True)
    encoder = spec.encoder
    # a SigLIP saved without the block behind the one that is read: its own config counts that block
    dropped = encoder.backend == "hf_siglip" and encoder.layer == -1
    write_json(folder / "config.json", tower_config(encoder, encoder.layers + 1 if dropped else None))
    colours = {"image_mean": list(encoder.mean), "image_std": list(encoder.std)}
    write_json(folder / "preprocessor_config.json", colours)
