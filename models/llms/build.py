"""Build a language model from a transformers config: any AutoModelForCausalLM, RoPE scaled before it exists."""

from contextlib import nullcontext
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from models.llms.rope import RopeType, rope_parameters, scale_rope, trained_context
from models.llms.rotary import check_rope
from models.spec import LlmSpec


def build_llm(config: PreTrainedConfig, dtype: torch.dtype, initialise: bool = True) -> PreTrainedModel:
    """Return a causal language model in `dtype`, its weights random, or undefined without `initialise`.

    The dtype is set while building, not by a later cast, which would round the rotary frequencies too. Raises
    ValueError for a class that ignores the RoPE scaling of its config.
    """
    with nullcontext() if initialise else no_init_weights():
        llm = AutoModelForCausalLM.from_config(config, dtype=dtype)
    check_rope(llm)
    # building without initialisation skips the tying of words and output layer, too
    llm.tie_weights()
    # the caller names its stop tokens and its sampling: nothing comes from the config behind its back
    llm.generation_config = GenerationConfig()
    return llm


def llm_config(raw: dict[str, Any], rope_factor: float = 1.0, rope_type: RopeType = "linear") -> PreTrainedConfig:
    """Return the transformers config of a raw config.json dict, its rotary positions scaled as `scale_rope` does.

    Raises ValueError for a model type that transformers does not know or a scaling that does not apply.
    """
    rest = {key: value for key, value in raw.items() if key not in ("model_type", "auto_map", "transformers_version")}
    if "model_type" not in raw:
        raise ValueError(f"language model config: no model_type among {sorted(raw)}")
    try:
        plain = AutoConfig.for_model(raw["model_type"], **rest)
    except StrictDataclassClassValidationError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"language model config of type {raw['model_type']!r}: {reason}") from error
    if rope_factor == 1.0:
        return plain
    scaled = scale_rope(plain.to_dict(), rope_factor, rope_type)
    try:
        return type(plain).from_dict(scaled)
    # transformers raises both for a scaling that a class does not know
    except (StrictDataclassClassValidationError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{raw['model_type']}: cannot scale positions by {rope_type!r}: {reason}") from error


def raw_config(llm: LlmSpec) -> dict[str, Any]:
    """Return the transformers config, as a dict, of the decoder that an LlmSpec describes."""
    return {
        "model_type": llm.kind,
        "hidden_size": llm.hidden,
        "intermediate_size": llm.mlp,
        "num_hidden_layers": llm.layers,
        "num_attention_heads": llm.heads,
        "num_key_value_heads": llm.kv_heads,
        "vocab_size": llm.vocab,
        "max_position_embeddings": llm.context,
        "rope_parameters": {"rope_type": "default", "rope_theta": llm.rope_theta},
        "tie_word_embeddings": llm.tied,
    }


def llm_spec(config: PreTrainedConfig) -> LlmSpec:
    """Return the sizes of a language model, for planning without weights; its rotary base is the unscaled one.

    A factor in the config widens the context; see models.llms.rope.trained_context.
    """
    raw = config.to_dict()
    rope = rope_parameters(raw)
    return LlmSpec(
        kind=config.model_type,
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=raw.get("num_key_value_heads") or config.num_attention_heads,
        mlp=config.intermediate_size,
        vocab=config.vocab_size,
        context=trained_context(raw),
        rope_theta=float(rope["rope_theta"]),
        tied=bool(config.tie_word_embeddings),
    )
