"""The releases of the family as data: keys of their config.json, towers, templates, and the tokens that they see.

Read by test_family.py. Token counts are those of the released functions (the tables of the specification).
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

WIDTH = 32
TOWERS = {
    "openai/clip-vit-large-patch14": ("clip", 224),
    "openai/clip-vit-large-patch14-336": ("clip", 336),
    "google/siglip-so400m-patch14-384": ("siglip", 384),
}
CLIP_224, CLIP_336, SIGLIP = TOWERS


def canvases(px: int, *grids: tuple[int, int]) -> list[list[int]]:
    return [[cols * px, rows * px] for cols, rows in grids]


FIVE = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
SEVEN = ((2, 2), (1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1))
HD = (*((1, r) for r in range(1, 7)), (2, 2), (2, 3), *((c, 1) for c in range(2, 7)), (3, 2))
ALL = tuple((c, r) for c in range(1, 7) for r in range(1, 7))

LLAMA = {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "max_position_embeddings": 4096}
OLD = LLAMA | {"model_type": "llava"}
MISTRAL = {"architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral", "rope_theta": 1e6}
MISTRAL |= {"max_position_embeddings": 32768, "num_key_value_heads": 2, "sliding_window": None}
QWEN = {"architectures": ["LlavaQwenForCausalLM"], "model_type": "llava_qwen", "rope_theta": 1e6}
QWEN |= {"max_position_embeddings": 32768, "sliding_window": 32768, "use_sliding_window": False, "max_window_layers": 2}
QWEN_2 = QWEN | {"model_type": "llava", "num_key_value_heads": 2}
NEXT = {"mm_patch_merge_type": "spatial_unpad", "image_aspect_ratio": "anyres"}
NEXT |= {"image_grid_pinpoints": canvases(336, *FIVE), "image_crop_resolution": 224, "image_split_resolution": 224}
NEXT |= {"mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model", "mm_vision_tower_lr": 2e-6}
POOLED = {"mm_resampler_type": "spatial_pool", "mm_spatial_pool_stride": 2, "mm_spatial_pool_mode": "average"}
POOLED |= {"mm_spatial_pool_out_channels": WIDTH}
ONE = NEXT | {"image_aspect_ratio": "anyres_max_9", "image_grid_pinpoints": canvases(384, *ALL)}
ONE |= {"mm_spatial_pool_mode": "bilinear", "mm_newline_position": "one_token", "mm_resampler_type": None}
VIDEO = ONE | {"mm_newline_position": "grid", "frames_upbound": 64, "force_sample": True, "add_time_instruction": True}

HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions."
)
USER = HUMAN.replace("human", "user")
LOOKS = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n"
# what stands before and behind the visual tokens of one image and the question "Q1"
PROMPTS = {
    "vicuna_v1": (f"<s>{USER} USER: ", "\nQ1 ASSISTANT:"),
    "llava_v0": (f"<s>{HUMAN}###Human: ", "\nQ1###Assistant:"),
    "mistral_instruct": ("<s>[INST] ", "\nQ1 [/INST]"),
    "chatml_direct": (
        "<s><|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n",
        "\nQ1<|im_end|><|im_start|>assistant\n",
    ),
    "qwen_1_5": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        "\nQ1<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llava_llama_3": (
        f"<|begin_of_text|>{HEADER.format('system')}{LOOKS}<|eot_id|>{HEADER.format('user')}",
        f"\nQ1<|eot_id|>{HEADER.format('assistant')}",
    ),
}
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA_3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


@dataclass(frozen=True, kw_only=True)
class System:
    """A release. images: (width, height) to tokens; clip: tokens of frames, by their number; many: of two images.

    preset: a name in conf/model, whose plan settings the folder gives too.
    """

    template: str
    tower: str
    config: dict[str, Any]
    images: dict[tuple[int, int], int]
    clip: dict[int, int] = field(default_factory=dict)
    many: int | None = None
    inside: bool = True
    specials: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float16
    around: tuple[str, str] = ("", "")
    preset: str | None = None


def _mlp(config: dict[str, Any]) -> dict[str, Any]:
    return {"mm_projector_type": "mlp2x_gelu", **config}


LINEAR = {"image_aspect_ratio": "pad", "tokenizer_model_max_length": 2048}
PAD = _mlp(LINEAR)
# table 1.7.1 of the token counts, the released order
NEXT_COUNTS = {(640, 480): 2340, (480, 640): 2352, (336, 300): 1126, (300, 336): 1226, (1000, 1): 576, (1, 1000): 648}
ONE_COUNTS = {(336, 336): 1485, (640, 480): 2929, (977, 1173): 8765, (4000, 4000): 7371}
ONE_CLIP = {2: 2 * 196 + 1, 32: 6273}
llama_1 = System(template="vicuna_v1", tower=CLIP_224, config=OLD, images={(640, 480): 256}, inside=False)
next_7b = System(template="vicuna_v1", tower=CLIP_336, config=_mlp(OLD | NEXT), images=NEXT_COUNTS)
one_7b = System(
    template="qwen_1_5",
    tower=SIGLIP,
    config=_mlp(QWEN_2 | ONE),
    images=ONE_COUNTS,
    clip=ONE_CLIP,
    many=2 * 730,
    specials=(*CHATML, "<image>"),
    dtype=torch.bfloat16,
)
SYSTEMS = {
    "llava-1.0-v1": replace(llama_1, preset="llava-1.0-7b"),
    "llava-1.0-v0": replace(
        llama_1,
        template="llava_v0",
        config=OLD | {"mm_use_im_start_end": True, "mm_use_im_patch_token": True, "anyres": {"template": "llava_v0"}},
        specials=("<im_patch>", "<im_start>", "<im_end>"),
        around=("<im_start>", "<im_end>"),
        preset="llava-1.0-7b-v0",
    ),
    "llava-1.5": replace(
        llama_1, tower=CLIP_336, config=OLD | PAD, images={(640, 480): 576}, many=1152, preset="llava-1.5-7b"
    ),
    "llava-1.5-hd": replace(
        next_7b,
        tower=CLIP_224,
        config=_mlp(LLAMA | NEXT | {"image_grid_pinpoints": canvases(224, *HD)}),
        images={(640, 480): 1632, (100, 100): 528, (3000, 300): 1226, (1000, 1): 256},
        preset="llava-1.5-hd-7b",
    ),
    "llava-next": replace(next_7b, many=2 * 2340, preset="llava-next-7b"),
    "llava-next-blog": replace(
        next_7b,
        config=_mlp(OLD | NEXT | {"image_grid_pinpoints": canvases(336, *SEVEN)}),
        images={(640, 480): 2340, (2000, 500): 2904, (500, 2000): 2976},
        preset="llava-next-7b-blog",
    ),
    "llava-next-mistral": replace(
        next_7b, template="mistral_instruct", config=_mlp(MISTRAL | NEXT), preset="llava-next-mistral-7b"
    ),
    "llava-next-34b": replace(
        next_7b,
        template="chatml_direct",
        config=_mlp(OLD | NEXT | {"rope_theta": 5e6, "num_key_value_heads": 2}),
        specials=CHATML,
        preset="llava-next-34b",
    ),
    "llava-next-llama3": replace(
        next_7b,
        template="llava_llama_3",
        config=_mlp(LLAMA | NEXT | {"rope_theta": 5e5, "num_key_value_heads": 2, "max_position_embeddings": 8192}),
        specials=LLAMA_3,
        preset="llava-next-llama3-8b",
    ),
    "llava-next-qwen": replace(
        next_7b, template="qwen_1_5", config=_mlp(QWEN | NEXT), specials=CHATML, preset="llava-next-qwen-72b"
    ),
    "higher-anyres": replace(
        next_7b,
        config=_mlp(OLD | NEXT | {"image_aspect_ratio": "anyres_max_9", "image_grid_pinpoints": canvases(336, *ALL)}),
        # 144 x 144 tokens at 6 x 6 tiles, twice the side of nine
        images={(336, 336): 576 + 24 * 25, (640, 480): 2340, (4000, 4000): 576 + 72 * 73},
        preset="higher-anyres-7b",
    ),
    "next-video": replace(
        next_7b, config=_mlp(OLD | NEXT | POOLED), clip={2: 288, 16: 2304}, preset="llava-next-video-7b"
    ),
    "next-video-dpo": replace(
        next_7b, config=_mlp(LLAMA | NEXT | POOLED), clip={32: 4608}, preset="llava-next-video-7b-dpo"
    ),
    "next-video-34b": replace(
        next_7b,
        template="chatml_direct",
        config=_mlp(OLD | NEXT | POOLED | {"rope_theta": 5e6, "num_key_value_heads": 2}),
        clip={2: 288},
        specials=CHATML,
        preset="llava-next-video-34b",
    ),
    "next-video-32b": replace(
        next_7b,
        template="qwen_1_5",
        tower=SIGLIP,
        config=_mlp(
            QWEN
            | NEXT
            | POOLED
            | {"mm_pooling_position": "after", "mm_newline_position": "grid", "frames_upbound": 32}
            | {"image_grid_pinpoints": canvases(384, *FIVE)}
        ),
        images={(640, 480): 2929},
        clip={2: 2 * 182, 32: 5824},
        specials=CHATML,
        preset="llava-next-video-32b",
    ),
    "interleave": replace(
        one_7b,
        config=_mlp(QWEN | NEXT | {"image_grid_pinpoints": canvases(384, *FIVE), "tie_word_embeddings": True}),
        images={(640, 480): 2929, (336, 336): 1513},
        clip={},
        specials=CHATML,
        preset="interleave-0.5b",
    ),
    "onevision-ov": replace(one_7b, preset="onevision-7b"),
    # a range stands for its list
    "onevision-si": replace(
        one_7b, config=one_7b.config | {"image_grid_pinpoints": "(1x1),...,(6x6)"}, preset="onevision-7b-si"
    ),
    "onevision-0.5b": replace(one_7b, config=one_7b.config | {"tie_word_embeddings": True}, preset="onevision-0.5b"),
    "onevision-72b": replace(one_7b, config=one_7b.config | {"model_type": "llava_qwen"}, preset="onevision-72b"),
    "llava-video": replace(
        one_7b,
        config=_mlp(QWEN_2 | VIDEO | {"mm_spatial_pool_mode": "average"}),
        clip={2: 364, 64: 11648},
        preset="llava-video-7b",
    ),
    "llava-video-72b": replace(
        one_7b,
        config=_mlp(QWEN_2 | VIDEO | {"mm_spatial_pool_mode": "average", "frames_upbound": 32}),
        clip={2: 364, 32: 5824},
        preset="llava-video-72b",
    ),
    "llava-video-bilinear": replace(one_7b, config=_mlp(QWEN_2 | VIDEO), clip={2: 420, 64: 13440}),
    "llava-video-slowfast": replace(
        one_7b,
        config=_mlp(QWEN_2 | VIDEO | {"add_faster_video": True, "faster_token_stride": 5}),
        clip={2: 211 + 57, 32: 2902, 64: 5650},
    ),
    "llava-video-slowfast-average": replace(
        one_7b,
        config=_mlp(QWEN_2 | VIDEO | {"add_faster_video": True, "mm_spatial_pool_mode": "average"}),
        clip={2: 183 + 43, 64: 3732},
        preset="llava-video-7b-slowfast",
    ),
    "critic": replace(one_7b, preset="critic-7b"),
    "med-1.5": replace(
        llama_1,
        template="mistral_instruct",
        tower=CLIP_336,
        config=MISTRAL | PAD,
        images={(640, 480): 576},
        dtype=torch.bfloat16,
        preset="llava-med-v1.5-7b",
    ),
    "rlhf-sft-7b": replace(llama_1, config=LLAMA | LINEAR, images={(640, 480): 256}, preset="llava-rlhf-7b"),
    "rlhf-sft-13b": replace(
        llama_1, tower=CLIP_336, config=LLAMA | LINEAR, images={(640, 480): 576}, preset="llava-rlhf-13b"
    ),
}
