"""Write a checkpoint as a llava-hf folder, which transformers loads."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from models.checkpoints.ends import TABLE, split_ends
from models.checkpoints.format import TOKENIZER, Checkpoint, write_json
from models.checkpoints.pinpoints import transformers_pinpoints
from models.checkpoints.rename import rename
from models.checkpoints.tensors import TensorWriter, write_tensors
from models.checkpoints.tower import tower_config
from models.checkpoints.vocabulary import grown, with_tokens
from models.llms.rope import scale_rope
from models.processor import Processor

IMAGE, VIDEO = "<image>", "<video>"


def write_llava_hf(folder: Path, checkpoint: Checkpoint, write: TensorWriter = write_tensors) -> None:
    """Write a checkpoint with the tensor names of the hosted folders; config.json last.

    The vocabulary grows to hold <image>. config.json records its former size, the template and the RoPE factor under
    "anyres", so that reading restores them.
    Raises ValueError for what transformers' classes cannot hold.
    """
    spec = checkpoint.spec
    _check(checkpoint)
    clips = spec.video.pool_before_projector
    tokenizer = with_tokens(checkpoint.tokenizer, (VIDEO, IMAGE) if clips else (IMAGE,))
    raw_llm, tensors = grown(dict(checkpoint.llm_config), checkpoint.tensors, tokenizer.get_vocab_size())
    split = split_ends(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    write(folder, split.renamed(rename(split, "anyres", "hf_hosted")))
    tokenizer.save(str(folder / TOKENIZER))
    strategy = "default" if spec.encoder.prefix_tokens else "full"
    _write_processor(folder, Processor(spec, checkpoint.tokenizer), strategy)
    config: dict[str, Any] = {
        "architectures": ["LlavaNextVideoForConditionalGeneration" if clips else "LlavaNextForConditionalGeneration"],
        "model_type": "llava_next_video" if clips else "llava_next",
        "text_config": scale_rope(raw_llm, spec.rope_factor),
        "vision_config": tower_config(spec.encoder),
        "vision_feature_layer": spec.encoder.layer,
        "vision_feature_select_strategy": strategy,
        "projector_hidden_act": "gelu",
        "image_grid_pinpoints": transformers_pinpoints(spec.grid, spec.encoder.tile_px),
        "image_token_index": tokenizer.token_to_id(IMAGE),
        "image_seq_length": spec.encoder.tile.tok**2,
        "tie_word_embeddings": bool(raw_llm.get("tie_word_embeddings", False)),
        "dtype": spec.dtype,
        "anyres": {
            "vocab": checkpoint.llm_config["vocab_size"],
            "template": spec.template,
            "rope_factor": spec.rope_factor,
        },
    }
    if clips:
        pooling = {"spatial_pool_mode": spec.video.pool_mode, "spatial_pool_stride": spec.video.pool}
        config |= {"video_token_index": tokenizer.token_to_id(VIDEO), **pooling}
    write_json(folder / "config.json", config)


def _check(checkpoint: Checkpoint) -> None:
    spec, grid = checkpoint.spec, checkpoint.spec.grid
    rows = checkpoint.tensors[TABLE].shape[0]
    reasons = {
        f"projector.kind {spec.projector.kind!r}, expected 'mlp2x_gelu'": spec.projector.kind != "mlp2x_gelu",
        f"{rows} end vectors, expected 1": rows != 1,
        "a grid without layouts": not grid.layouts,
        f"grid.merge {grid.merge!r}, expected 'spatial_unpad'": grid.merge != "spatial_unpad",
        f"grid.overview {grid.overview!r}, expected 'squash'": grid.overview != "squash",
        "a token target": grid.target(spec.encoder.tile) is not None,
        f"pool_mode {spec.video.pool_mode!r} before the projector, expected 'average'": (
            spec.video.pool_before_projector and spec.video.pool_mode != "average"
        ),
    }
    found = [reason for reason, wrong in reasons.items() if wrong]
    if found:
        raise ValueError(f"{spec.name}: transformers' LLaVA-NeXT cannot hold {'; '.join(found)}")


def _write_processor(folder: Path, processor: Processor, strategy: str) -> None:
    encoder = processor.spec.encoder
    side = {"height": encoder.tile_px, "width": encoder.tile_px}
    image_processor = {
        "image_processor_type": "LlavaNextImageProcessor",
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
        "size": {"shortest_edge": encoder.tile_px},
        "crop_size": side,
        "resample": 3,
        "image_grid_pinpoints": transformers_pinpoints(processor.spec.grid, encoder.tile_px),
    }
    clips = processor.spec.video.pool_before_projector
    settings: dict[str, Any] = {
        "processor_class": "LlavaNextVideoProcessor" if clips else "LlavaNextProcessor",
        "patch_size": encoder.patch_px,
        "num_additional_image_tokens": encoder.prefix_tokens,
        "vision_feature_select_strategy": strategy,
        "image_token": IMAGE,
    }
    if clips:
        size = {"size": {"shortest_edge": encoder.tile_px}, "crop_size": side}
        normalise = {"image_mean": list(encoder.mean), "image_std": list(encoder.std), "resample": 3}
        clip_processor = {"video_processor_type": "LlavaNextVideoVideoProcessor", **size, **normalise}
        write_json(folder / "video_preprocessor_config.json", clip_processor)
        settings["video_token"] = VIDEO
    write_json(folder / "preprocessor_config.json", image_processor)
    write_json(folder / "processor_config.json", settings)
    write_json(folder / "tokenizer_config.json", _tokenizer_settings(processor))
    if processor.stop_ids:
        write_json(folder / "generation_config.json", {"eos_token_id": processor.stop_ids[0]})


def _tokenizer_settings(processor: Processor) -> dict[str, Any]:
    tokenizer: Tokenizer = processor.tokenizer
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if processor.bos_id is not None:
        settings["bos_token"] = tokenizer.id_to_token(processor.bos_id)
    if processor.stop_ids:
        stop = tokenizer.id_to_token(processor.stop_ids[0])
        settings |= {"eos_token": stop, "pad_token": stop}
    return settings
