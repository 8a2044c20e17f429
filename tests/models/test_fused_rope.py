"""A language model that rotates by the kernel gives the same logits and gradients; other rotations are refused."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from models.llms.fused_rope import fuse_rope, restore_rope

IDS = torch.arange(10)[None] % 7
KINDS = ["llama", "qwen2", "qwen3", "mistral", "phi3"]


def tiny(kind: str, **given: object) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 16, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **sizes, num_attention_heads=4, num_key_value_heads=2, **given)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_logits_and_gradients(kind: str) -> None:
    llm = tiny(kind)
    fused = copy.deepcopy(llm)
    calls = []

    def counted(q, k, cos, sin):
        from kernels.rope.op import rope

        calls.append(q.shape)
        return rope(q, k, cos, sin)

    assert fuse_rope(fused, device_type="cpu", rotate=counted) == 2
    expected, found = llm(IDS).logits, fused(IDS).logits
    assert len(calls) == 2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for logits in (expected, found):
        logits.square().sum().backward()
    for mine, theirs in zip(fused.parameters(), llm.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rope_type", ["linear", "dynamic", "yarn"])
def test_generation_in_place(rope_type: str) -> None:
    scaling = {"rope_type": rope_type, "rope_theta": 1e4, "factor": 2.0}
    scaling |= {"original_max_position_embeddings": 8} if rope_type == "yarn" else {}
    llm = tiny("llama", max_position_embeddings=8, rope_parameters=scaling)
    fused = copy.deepcopy(llm)
    fuse_rope(fused, device_type="cpu")
    options = {"max_new_tokens": 6, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    with torch.inference_mode():
        expected, found = llm.generate(IDS, **options), fused.generate(IDS, **options)
    assert torch.equal(found.sequences, expected.sequences)
    for mine, theirs in zip(found.logits, expected.logits, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_other_devices_and_other_models_rotate_as_before() -> None:
    llm, other = tiny("llama"), tiny("llama")
    keys = list(llm.state_dict())

    def refused(*_: object) -> None:
        raise AssertionError("rotated")

    fuse_rope(llm, device_type="cuda", rotate=refused)
    assert torch.equal(llm(IDS).logits, other(IDS).logits)
    assert list(llm.state_dict()) == keys
    restore_rope(llm)
    fuse_rope(llm, device_type="cpu", rotate=refused)
    other(IDS)
    with pytest.raises(AssertionError, match="rotated"):
        llm(IDS)
    restore_rope(llm)
    assert torch.equal(llm(IDS).logits, other(IDS).logits)


def test_twice_is_refused() -> None:
    llm = tiny("llama")
    fuse_rope(llm)
    with pytest.raises(ValueError, match="already replaced"):
        fuse_rope(llm)


def test_another_rotation_is_refused() -> None:
    # cohere turns neighbouring channels
    llm = tiny("cohere")
    with pytest.raises(ValueError, match="CohereAttention rotates its channels in another way"):
        fuse_rope(llm)
    assert not any("forward" in vars(module) for module in llm.modules())


def test_a_model_without_rotation_is_refused() -> None:
    config = AutoConfig.for_model("gpt2", n_embd=8, n_layer=1, n_head=2, vocab_size=16)
    with pytest.raises(ValueError, match="no layer of GPT2LMHeadModel calls apply_rotary_pos_emb"):
        fuse_rope(AutoModelForCausalLM.from_config(config))
