"""Which prompt template a checkpoint was trained with, told by its language model and its special tokens."""

from tokenizers import Tokenizer

BY_LLM = {
    "mistral": "mistral_instruct",
    "mixtral": "mistral_instruct",
    "qwen2": "qwen_1_5",
    "qwen2_moe": "qwen_1_5",
    "gemma": "gemma_instruct",
}

KNOWN = ("llama", *BY_LLM)


def template_name(llm: str, tokenizer: Tokenizer) -> str:
    """Return the name of the template for a language model's type.

    A Llama is told apart by special tokens: Llama 3's headers, ChatML (the Yi 34B release), or neither (Vicuna). What
    leaves no trace in a folder has to be said by who loads it: LLaVA 1.0 on Vicuna v0 ("v0", "llava_v0") and on Llama 2
    chat ("llava_llama_2"), and a stage 1 projector ("plain"), which are taken for Vicuna v1 here.
    Raises ValueError for a type whose template is not known.
    """
    if llm in BY_LLM:
        return BY_LLM[llm]
    if llm == "llama" and tokenizer.token_to_id("<|start_header_id|>") is not None:
        return "llava_llama_3"
    if llm == "llama" and tokenizer.token_to_id("<|im_start|>") is not None:
        return "chatml_direct"
    if llm == "llama":
        return "vicuna_v1"
    raise ValueError(f"no prompt template is known for a language model of type {llm!r}, only for {', '.join(KNOWN)}")
