"""The processor files of a llava-hf folder: how pictures are framed, how many tokens a medium has, how turns read."""

from pathlib import Path
from typing import Any

from models.checkpoints.chat_template import chat_template
from models.checkpoints.format import write_json
from models.checkpoints.llava_hf_class import NAMES, WITH_CLIPS, Kind, target_tiles
from models.checkpoints.llava_hf_frames import CLIPS, IMAGES, PROCESSOR
from models.checkpoints.pinpoints import transformers_pinpoints
from models.encoders.spec import EncoderSpec
from models.processor import Processor
from models.spec import ModelSpec

IMAGE, VIDEO = "<image>", "<video>"
TOKENIZER_SETTINGS, GENERATION, CHAT = "tokenizer_config.json", "generation_config.json", "chat_template.jinja"
# LLaVA's class has no framing of its own: the processor does it
LLAVA_PROCESSORS = {"crop": "CLIPImageProcessor", "pad": "LlavaImageProcessor", "squash": "SiglipImageProcessor"}

Settings = dict[str, Any]


def write_processor(folder: Path, kind: Kind, processor: Processor) -> None:
    """Write preprocessor_config.json, its like for clips, processor_config.json, the tokenizer's and the generation's.

    A template for captions gives no chat template.
    """
    spec = processor.spec
    write_json(folder / IMAGES, _images(spec, kind))
    if kind in WITH_CLIPS:
        clips = {"video_processor_type": f"{NAMES[kind]}VideoProcessor", **_steps(spec.encoder)}
        write_json(folder / CLIPS, clips | _frame(spec.encoder, spec.video.fit))
    write_json(folder / PROCESSOR, _counts(spec, kind))
    write_json(folder / TOKENIZER_SETTINGS, _tokenizer(processor))
    if not processor.template.media_only:
        (folder / CHAT).write_text(chat_template(processor.template, spec.around), encoding="utf-8")
    if processor.stop_ids:
        settings = {"eos_token_id": processor.stop_ids[0], "pad_token_id": processor.stop_ids[0]}
        write_json(folder / GENERATION, settings | _bos(processor))


def strategy(encoder: EncoderSpec) -> str:
    """Return what transformers calls dropping the class token, or keeping every token."""
    return "default" if encoder.prefix_tokens else "full"


def _images(spec: ModelSpec, kind: Kind) -> Settings:
    if kind == "llava":
        name = LLAVA_PROCESSORS[spec.grid.overview]
        frame = _frame(spec.encoder, "squash" if spec.grid.overview == "squash" else "crop")
        pads = {"do_pad": True} if spec.grid.overview == "pad" else {}
        return {"image_processor_type": name, **_steps(spec.encoder), **frame, **pads}
    # views are squashed by the class itself, whatever the frame says
    frame = _frame(spec.encoder, "squash" if kind == "llava_onevision" else "crop")
    name = "LlavaOnevisionImageProcessor" if kind == "llava_onevision" else "LlavaNextImageProcessor"
    grids = {"image_grid_pinpoints": transformers_pinpoints(spec.grid, spec.encoder.tile_px), "do_pad": True}
    return {"image_processor_type": name, **_steps(spec.encoder), **frame, **grids}


def _steps(encoder: EncoderSpec) -> Settings:
    return {
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
    }


def _frame(encoder: EncoderSpec, fit: str) -> Settings:
    side = {"height": encoder.tile_px, "width": encoder.tile_px}
    if fit == "crop":
        return {"size": {"shortest_edge": encoder.tile_px}, "do_center_crop": True, "crop_size": side}
    # the crop is not made; LLaVA's processor counts tokens by its size
    return {"size": side, "do_center_crop": False, "crop_size": side}


def _counts(spec: ModelSpec, kind: Kind) -> Settings:
    encoder = spec.encoder
    shared = {
        "processor_class": f"{NAMES[kind]}Processor",
        "vision_feature_select_strategy": strategy(encoder),
        "image_token": IMAGE,
        **({"video_token": VIDEO} if kind in WITH_CLIPS else {}),
    }
    if kind == "llava_onevision":
        tokens = encoder.tile.tok**2 + encoder.prefix_tokens
        return shared | {"num_image_tokens": tokens, "vision_aspect_ratio": f"anyres_max_{target_tiles(spec)}"}
    return shared | {"patch_size": encoder.patch_px, "num_additional_image_tokens": encoder.prefix_tokens}


def _tokenizer(processor: Processor) -> Settings:
    tokenizer = processor.tokenizer
    settings: Settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if processor.bos_id is not None:
        settings["bos_token"] = tokenizer.id_to_token(processor.bos_id)
    if processor.stop_ids:
        stop = tokenizer.id_to_token(processor.stop_ids[0])
        settings |= {"eos_token": stop, "pad_token": stop}
    return settings


def _bos(processor: Processor) -> Settings:
    return {} if processor.bos_id is None else {"bos_token_id": processor.bos_id}
