"""Costs: formulas against FLOPs counted on tiny models, and figures of known models."""

from dataclasses import replace

import pytest
import tiny
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from anyres import HW, GridSpec, TileSpec, plan_image
from anyres.cost import (
    decode_flops,
    encoder_flops,
    kv_cache_bytes,
    prefill_flops,
    price,
    projector_flops,
)
from models.encoders.spec import EncoderSpec
from models.spec import LlmSpec, ProjectorSpec

CLIP = replace(tiny.CLIP, mlp=80, mean=(0.5,) * 3, std=(0.5,) * 3)
LLAMA = LlmSpec(
    kind="llama", hidden=64, layers=3, heads=4, kv_heads=4, mlp=176, vocab=97, context=2048, rope_theta=10000.0
)
QWEN = LlmSpec(kind="qwen2", hidden=64, layers=2, heads=4, kv_heads=2, mlp=96, vocab=50, context=2048, rope_theta=1e6)
VICUNA_7B = LlmSpec(
    kind="llama", hidden=4096, layers=32, heads=32, kv_heads=32, mlp=11008, vocab=32000, context=4096, rope_theta=1e4
)


def llm_of(spec: LlmSpec) -> torch.nn.Module:
    config_type, model_type = (
        (LlamaConfig, LlamaForCausalLM) if spec.kind == "llama" else (Qwen2Config, Qwen2ForCausalLM)
    )
    config = config_type(
        hidden_size=spec.hidden,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        intermediate_size=spec.mlp,
        vocab_size=spec.vocab,
        attn_implementation="eager",
    )
    return model_type(config).eval()


@pytest.mark.parametrize("spec", [LLAMA, QWEN], ids=["llama", "qwen2 with grouped heads"])
def test_language_model_against_a_counter(spec: LlmSpec) -> None:
    llm, ids_BL = llm_of(spec), torch.zeros(1, 37, dtype=torch.long)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            out = llm(ids_BL, logits_to_keep=1, use_cache=True)
        assert prefill_flops(spec, 37) == pytest.approx(counter.get_total_flops(), rel=0.02)
        cached = sum(layer.keys.nbytes + layer.values.nbytes for layer in out.past_key_values.layers)
        with FlopCounterMode(display=False) as counter:
            llm(ids_BL[:, :1], past_key_values=out.past_key_values, use_cache=True)
        assert decode_flops(spec, 37) == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert kv_cache_bytes(spec, 37, bytes_per_value=4) == cached


@pytest.mark.parametrize("prefix", [1, 0], ids=["clip", "siglip"])
@pytest.mark.parametrize("layer", [-1, -2])
def test_encoder_against_a_counter(prefix: int, layer: int) -> None:
    # a tower built with the blocks that are read only
    blocks = CLIP.layers + 1 + layer
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 80,
        "num_hidden_layers": blocks,
        "num_attention_heads": 2,
        "image_size": 42,
        "patch_size": 14,
        "attn_implementation": "eager",
    }
    if prefix:
        tower = CLIPVisionModel(CLIPVisionConfig(**sizes))
    else:
        tower = SiglipVisionModel(SiglipVisionConfig(**sizes, vision_use_head=False))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tower(torch.zeros(5, 3, 42, 42))
    values = {name: getattr(CLIP, name) for name in EncoderSpec.__dataclass_fields__}
    spec = EncoderSpec(**values | {"layer": layer, "prefix_tokens": prefix})
    assert spec.blocks_run == blocks
    assert encoder_flops(spec, 5) == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("kind", ["linear", "mlp2x_gelu"])
def test_projector_against_a_counter(kind: str) -> None:
    maps = [torch.nn.Linear(32, 64)] + ([torch.nn.GELU(), torch.nn.Linear(64, 64)] if kind == "mlp2x_gelu" else [])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.nn.Sequential(*maps)(torch.zeros(5, 9, 32))
    spec = ProjectorSpec(kind=kind, dim_in=32, dim_out=64)
    assert projector_flops(spec, 45) == counter.get_total_flops()


def test_a_7b_model() -> None:
    # 2 FLOPs for each of the 6.476 billion weights of its blocks and position, and 4 n S^2 a for attention
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    assert weights == 6_476_005_376
    assert prefill_flops(VICUNA_7B, 2880) == 2 * weights * 2880 + 4 * 32 * 2880**2 * 4096 + 2 * 4096 * 32000
    # 0.5 MiB a position at 16 bits
    assert kv_cache_bytes(VICUNA_7B, 4096) == 2 * 1024**3


def test_price_of_a_plan() -> None:
    tile = TileSpec.of(42, 14)
    plan = plan_image(HW(80, 80), GridSpec(layouts=(HW(2, 2),)), tile)
    projector = ProjectorSpec(kind="linear", dim_in=32, dim_out=64)
    cost = price(plan, CLIP, projector, LLAMA, text_tokens=10, bytes_per_value=4)
    assert (cost.tiles, cost.visual_tokens, cost.sequence) == (5, 9 + 6 * 7, 61)
    assert cost.encoder_flops == encoder_flops(CLIP, 5)
    assert cost.projector_flops == 2 * 45 * 32 * 64
    assert cost.prefill_flops == prefill_flops(LLAMA, 61)
    assert cost.flops == cost.encoder_flops + cost.projector_flops + cost.prefill_flops
    assert cost.kv_cache_bytes == 2 * 3 * 64 * 61 * 4
    assert cost.context_share == 51 / 2048
    packed = price(plan, CLIP, projector, LLAMA, text_tokens=10, project_packed=True)
    # row ends are not projected
    assert packed.projector_flops == 2 * 45 * 32 * 64
