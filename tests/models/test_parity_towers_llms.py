"""Parity with transformers' LLaVA-NeXT for other parts: a SigLIP tower, Mistral and Qwen2, scaled positions."""

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from models.build import load
from models.example import Example, Turn

PX = 44
PINPOINTS = [[44, 88], [88, 44], [88, 88], [132, 44], [44, 132]]
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
LLAMA_3 = {"rope_type": "default", "rope_theta": 500000.0}
# what tells these Llamas from Vicuna
SPECIALS = {
    "llama 3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
}
TEXTS = {
    "mistral": (MistralConfig, {}, "mistral_instruct"),
    "llama 3": (LlamaConfig, {"rope_parameters": LLAMA_3}, "llava_llama_3"),
    "chatml": (LlamaConfig, {}, "chatml_direct"),
    "qwen2": (Qwen2Config, {}, "qwen_1_5"),
    "qwen2 scaled": (Qwen2Config, {"rope_parameters": LINEAR}, "qwen_1_5"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_logits(parity, tmp_path, tiny_tokenizer, tiny_llm, tiny_image, name):
    cls, changes, template = TEXTS[name]
    torch.manual_seed(0)
    # SigLIP drops the pixels beyond the last whole patch: 44 // 14 = 3 tokens a side
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=PX,
        patch_size=14,
        vision_use_head=False,
    )
    sizes = {key: value for key, value in tiny_llm.items() if key not in ("model_type", "rope_theta")}
    tokenizer = tiny_tokenizer("<image>", *SPECIALS.get(name, ()))
    config = LlavaNextConfig(
        vision_config=vision,
        text_config=cls(**sizes, **changes),
        image_token_index=tokenizer.token_to_id("<image>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    theirs = LlavaNextForConditionalGeneration(config).eval()
    half = [0.5, 0.5, 0.5]
    their_processor = LlavaNextProcessor(
        LlavaNextImageProcessorPil(
            size={"shortest_edge": PX},
            crop_size={"height": PX, "width": PX},
            image_grid_pinpoints=PINPOINTS,
            image_mean=half,
            image_std=half,
        ),
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
        ),
        patch_size=14,
        vision_feature_select_strategy="full",
    )
    theirs.save_pretrained(tmp_path)
    their_processor.save_pretrained(tmp_path)
    model, processor = load(tmp_path)
    assert processor.spec.template == template
    assert (processor.spec.encoder.backend, processor.spec.encoder.mean) == ("hf_siglip", (0.5, 0.5, 0.5))
    for size in [(80, 60), (20, 20), (250, 30)]:
        one = Example(id="x", media=(tiny_image(*size),), turns=(Turn(role="user", text="<image>\nWhat?"),))
        text = processor.template.render(one.turns, add_generation_prompt=True).text
        inputs = their_processor(text=text, images=one.media[0], return_tensors="pt")
        with torch.no_grad():
            expected, found = theirs(**inputs).logits, model(processor.batch([one])).logits
        parity(f"llava_next (siglip, {name})", found, expected)
