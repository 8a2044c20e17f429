"""A pocket model before training: random weights, its tokenizer, its processor."""

from typing import Any

import torch

from models.build import build_model
from models.llms.build import raw_config
from models.lmm import LMM
from models.pocket.tokenizer import build_tokenizer
from models.pocket.words import VOCABULARY
from models.processor import Processor
from models.spec import LlmSpec, ModelSpec


def fresh(spec: ModelSpec, seed: int) -> tuple[LMM, Processor]:
    """Return a model of `spec` with float32 weights drawn from `seed`, and its processor.

    Raises ValueError when the spec's vocabulary is not the pocket vocabulary.
    """
    if spec.llm.vocab != len(VOCABULARY):
        raise ValueError(
            f"llm.vocab: the pocket vocabulary has {len(VOCABULARY)} words, the spec says {spec.llm.vocab}"
        )
    torch.manual_seed(seed)
    model = build_model(spec, llama_config(spec.llm))
    # the plain attention: on a CPU its backward pass in bfloat16 is the faster one
    model.encoder.tower.set_attn_implementation("eager")
    model.llm.set_attn_implementation("eager")
    return model, Processor(spec, build_tokenizer())


def llama_config(llm: LlmSpec) -> dict[str, Any]:
    """Return the transformers config, as a dict, of the decoder that an LlmSpec describes."""
    if llm.kind != "llama":
        raise ValueError(f"llm.kind: the pocket recipe builds 'llama', got {llm.kind!r}")
    return raw_config(llm) | {
        "pad_token_id": VOCABULARY.index("<pad>"),
        "bos_token_id": None,
        "eos_token_id": VOCABULARY.index("<end>"),
    }
