"""Write a checkpoint as an official LLaVA-NeXT folder."""

from pathlib import Path
from typing import Any

from models.checkpoints.ends import TABLE, split_ends
from models.checkpoints.format import TOKENIZER, Checkpoint, write_json
from models.checkpoints.official import LLMS, official_layout
from models.checkpoints.official_tower import WRITTEN
from models.checkpoints.pinpoints import pinpoints
from models.checkpoints.rename import rename
from models.checkpoints.tensors import write_tensors
from models.checkpoints.tower import tower_config
from models.llms.rope import scale_rope
from models.spec import ModelSpec


def write_official(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint with the official tensor names, its tower among the weights; config.json last.

    The tower's config lies in the sub-folder vision_tower. config.json records under "anyres" what it has no key for.
    Raises ValueError for what the official layout cannot hold.
    """
    spec = checkpoint.spec
    grid = _grid_keys(spec)
    llm = scale_rope(dict(checkpoint.llm_config), spec.rope_factor)
    kind = llm["model_type"]
    architecture = next((name for name, value in LLMS.items() if value == kind), None)
    if architecture is None:
        raise ValueError(f"{spec.name}: the official layout has no class for a language model of type {kind!r}")
    unpad = spec.grid.merge == "spatial_unpad"
    split = split_ends(checkpoint.tensors, keep=unpad)
    if not unpad and checkpoint.tensors[TABLE].any():
        raise ValueError(f"{spec.name}: grid.merge {spec.grid.merge!r} has no end vectors in the official layout")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    write_tensors(folder, split.renamed(rename(split, "anyres", official_layout(spec.projector))))
    checkpoint.tokenizer.save(str(folder / TOKENIZER))
    _write_tower(folder / WRITTEN, spec)
    config: dict[str, Any] = {
        **llm,
        "architectures": [architecture],
        "model_type": next(name for name, value in LLMS.items() if value == kind and name.islower()),
        "dtype": spec.dtype,
        "torch_dtype": spec.dtype,
        "mm_vision_tower": spec.encoder.weights or WRITTEN,
        "mm_vision_select_layer": -2 if spec.encoder.backend == "hf_siglip" else spec.encoder.layer,
        "mm_vision_select_feature": "patch",
        "mm_hidden_size": spec.encoder.width,
        "mm_projector_type": spec.projector.kind,
        "unfreeze_mm_vision_tower": True,
        "tokenizer_model_max_length": spec.context,
        **grid,
        **_video_keys(spec),
        "anyres": {"template": spec.template, "rope_factor": spec.rope_factor, "thin": spec.grid.thin},
    }
    write_json(folder / "config.json", config)


def _grid_keys(spec: ModelSpec) -> dict[str, Any]:
    grid = spec.grid
    tiles = grid.target_tiles
    if grid.target_tok is not None or grid.rule != "released" or (tiles is not None and grid.slack != 1.1):
        raise ValueError(f"{spec.name}: the official layout holds no token target but anyres_max_N with slack 1.1")
    if not grid.layouts:
        # the processors' own resizing has no name
        return {"mm_patch_merge_type": grid.merge, "image_aspect_ratio": "pad" if grid.overview == "pad" else "square"}
    if grid.overview not in ("squash", "none"):
        raise ValueError(f"{spec.name}: overview {grid.overview!r} beside a grid has no name in the official layout")
    return {
        "mm_patch_merge_type": grid.merge + ("_nobase" if grid.overview == "none" else ""),
        "image_aspect_ratio": "anyres" if tiles is None else f"anyres_max_{tiles}",
        "image_grid_pinpoints": pinpoints(grid.layouts, spec.encoder.tile_px),
    }


def _video_keys(spec: ModelSpec) -> dict[str, Any]:
    video = spec.video
    keys = {
        "mm_spatial_pool_mode": video.pool_mode,
        "mm_spatial_pool_stride": video.pool,
        "mm_newline_position": video.end,
        "frames_upbound": video.num_frames,
    }
    return keys | ({"mm_resampler_type": "spatial_pool"} if video.pool_before_projector else {})


def _write_tower(folder: Path, spec: ModelSpec) -> None:
    folder.mkdir(exist_ok=True)
    encoder = spec.encoder
    # a SigLIP saved without the block behind the one that is read: its own config counts that block
    dropped = encoder.backend == "hf_siglip" and encoder.layer == -1
    write_json(folder / "config.json", tower_config(encoder, encoder.layers + 1 if dropped else None))
    colours = {"image_mean": list(encoder.mean), "image_std": list(encoder.std)}
    write_json(folder / "preprocessor_config.json", colours)
