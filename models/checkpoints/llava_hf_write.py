"""Write a checkpoint as a llava-hf folder, which transformers loads."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.checkpoints.ends import split_ends
from models.checkpoints.format import TOKENIZER, Checkpoint, write_json
from models.checkpoints.llava_hf_class import NAMES, WITH_CLIPS, Kind, class_of, target_tiles
from models.checkpoints.llava_hf_processor import IMAGE, VIDEO, strategy, write_processor
from models.checkpoints.pinpoints import transformers_pinpoints
from models.checkpoints.rename import rename
from models.checkpoints.tensors import TensorWriter, write_tensors
from models.checkpoints.tower import tower_config
from models.checkpoints.vocabulary import grown, with_tokens
from models.llms.rope import scale_rope
from models.processor import Processor
from models.spec import ModelSpec


def write_llava_hf(folder: Path, checkpoint: Checkpoint, write: TensorWriter = write_tensors) -> None:
    """Write a checkpoint with the tensor names of the hosted folders, in the class its media need; config.json last.

    The vocabulary grows to hold <image> (and <video>). config.json records under "anyres" what the class has no key
    for: the former size, the template, the text round media, the RoPE factor, the choice of frames. An end vector that
    nothing reads (one view an image, merge "flat") has no place in LLaVA's class and is left out.
    Raises ValueError for what the class cannot hold.
    """
    spec = checkpoint.spec
    kind = class_of(spec, checkpoint.tensors)
    vision = tower_config(spec.encoder)
    tokenizer = with_tokens(checkpoint.tokenizer, (VIDEO, IMAGE) if kind in WITH_CLIPS else (IMAGE,))
    raw_llm, tensors = grown(dict(checkpoint.llm_config), checkpoint.tensors, tokenizer.get_vocab_size())
    split = split_ends(tensors, keep=kind != "llava")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    write(folder, split.renamed(rename(split, "anyres", "hf_hosted")))
    tokenizer.save(str(folder / TOKENIZER))
    write_processor(folder, kind, Processor(spec, checkpoint.tokenizer))
    layer = spec.encoder.layer
    config: dict[str, Any] = {
        "architectures": [f"{NAMES[kind]}ForConditionalGeneration"],
        "model_type": kind,
        "text_config": scale_rope(raw_llm, spec.rope_factor, spec.rope_type),
        "vision_config": vision,
        "vision_feature_layer": layer if isinstance(layer, int) else list(layer),
        "vision_feature_select_strategy": strategy(spec.encoder),
        "projector_hidden_act": "gelu",
        "image_token_index": tokenizer.token_to_id(IMAGE),
        "tie_word_embeddings": bool(raw_llm.get("tie_word_embeddings", False)),
        "dtype": spec.dtype,
        **_media(spec, kind),
        "anyres": _record(checkpoint),
    }
    if kind in WITH_CLIPS:
        config["video_token_index"] = tokenizer.token_to_id(VIDEO)
    write_json(folder / "config.json", config)


def _media(spec: ModelSpec, kind: Kind) -> dict[str, Any]:
    """Return the keys of config.json that differ by class."""
    grids = {"image_grid_pinpoints": transformers_pinpoints(spec.grid, spec.encoder.tile_px)}
    if kind == "llava_onevision":
        return grids | {"vision_aspect_ratio": f"anyres_max_{target_tiles(spec)}"}
    length = {"image_seq_length": spec.encoder.tile.tok**2}
    if kind == "llava_next_video":
        pooling = {"spatial_pool_mode": spec.video.pool_mode, "spatial_pool_stride": spec.video.pool}
        return length | grids | pooling
    return length if kind == "llava" else length | grids


def _record(checkpoint: Checkpoint) -> dict[str, Any]:
    spec = checkpoint.spec
    return {
        "vocab": checkpoint.llm_config["vocab_size"],
        "template": spec.template,
        "rope_factor": spec.rope_factor,
        "rope_type": spec.rope_type,
        "around": list(spec.around),
        "times": spec.times,
        "video": asdict(spec.video),
    }
