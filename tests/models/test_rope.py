"""Linear RoPE scaling: the config's format, and the frequencies of the model that is built from it."""

import pytest
import torch

from models.llms.build import build_llm, llm_config, llm_spec
from models.llms.rope import rope_parameters, scale_rope, unscale_rope

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 40,
    "max_position_embeddings": 128,
    "rope_theta": 5000.0,
}


def test_factor_two_halves_every_frequency():
    plain = build_llm(llm_config(LLAMA), torch.float32)
    scaled = build_llm(llm_config(LLAMA, rope_factor=2.0), torch.float32)
    ratio = scaled.model.rotary_emb.inv_freq / plain.model.rotary_emb.inv_freq
    assert torch.equal(ratio, torch.full((8,), 0.5))
    assert scaled.model.rotary_emb.attention_scaling == 1.0


def test_half_precision_keeps_exact_frequencies():
    exact = build_llm(llm_config(LLAMA), torch.float32)
    half = build_llm(llm_config(LLAMA), torch.float16)
    assert half.lm_head.weight.dtype == torch.float16
    assert torch.equal(half.model.rotary_emb.inv_freq, exact.model.rotary_emb.inv_freq)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 5000.0},
        {"rope_theta": 5000.0, "rope_scaling": None},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}},
    ],
)
def test_scaled_config_is_in_the_format_of_transformers_5(rope):
    config = {"model_type": "llama", "hidden_size": 32, **rope}
    assert scale_rope(config, 2.0) == {
        "model_type": "llama",
        "hidden_size": 32,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0},
    }


@pytest.mark.parametrize("trained", [None, {"type": "linear", "factor": 4.0}])
def test_unscaling_restores_the_trained_frequencies(trained):
    plain = llm_config({**LLAMA, "rope_scaling": trained}).to_dict()
    scaled = llm_config({**LLAMA, "rope_scaling": trained}, rope_factor=3.0).to_dict()
    assert rope_parameters(unscale_rope(scaled, 3.0)) == rope_parameters(plain) != rope_parameters(scaled)


def test_factor_one_changes_nothing():
    assert scale_rope(LLAMA, 1.0) == LLAMA


def test_a_trained_linear_factor_is_multiplied():
    config = {"model_type": "llama", "rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 4.0}}
    assert scale_rope(config, 2.0)["rope_parameters"] == {"rope_type": "linear", "rope_theta": 1e4, "factor": 8.0}


@pytest.mark.parametrize(
    ("config", "factor", "message"),
    [
        (LLAMA, 0.5, "at least 1.0, got 0.5"),
        ({"model_type": "gpt2"}, 2.0, "gpt2: the config has no rope_parameters"),
        ({"model_type": "llama", "rope_theta": 1e4, "rope_scaling": {"rope_type": "yarn"}}, 2.0, "'yarn'"),
        ({"model_type": "gemma3_text", "rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, 2.0, "by layer"),
    ],
)
def test_what_cannot_be_scaled_is_refused(config, factor, message):
    with pytest.raises(ValueError, match=message):
        scale_rope(config, factor)


def test_spec_reports_the_unscaled_sizes():
    spec = llm_spec(llm_config(LLAMA))
    assert (spec.kind, spec.hidden, spec.kv_heads, spec.context, spec.rope_theta) == ("llama", 32, 1, 128, 5000.0)


def test_unknown_model_type_is_named():
    with pytest.raises(ValueError, match="nosuch"):
        llm_config({"model_type": "nosuch"})


def test_a_trained_linear_factor_widens_the_context():
    scaled = LLAMA | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}}
    assert llm_spec(llm_config(scaled)).context == 256


def test_sizes_that_do_not_fit_are_a_value_error():
    with pytest.raises(ValueError, match=r"'llama'.*33.*multiple"):
        llm_config({"model_type": "llama", "hidden_size": 33, "num_attention_heads": 2})
