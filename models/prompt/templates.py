"""The prompt templates of the released checkpoints, as exact strings."""

from models.prompt import vicuna_v0
from models.prompt.template import Template

_CURIOUS_USER = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_CURIOUS_HUMAN = _CURIOUS_USER.replace("user", "human")
_VISION_ASSISTANT = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
_MPT_SYSTEM = (
    "A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers."
)
_ORCA_SYSTEM = (
    "You are MistralOrca, a large language model trained by Alignment Lab AI. "
    "Write out your reasoning step-by-step to be sure you get the right answers!"
)
_QWEN_2_5_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def _vicuna(name: str, system: str) -> Template:
    return Template(
        name=name,
        head=f"{system} USER: ",
        again="USER: ",
        user_close=" ",
        prompt="ASSISTANT:",
        answer_open=" ",
        answer_close="</s>",
    )


def _hashes(name: str, before: str) -> Template:
    """Return a template of LLaVA 1.0; `before` is the text between the system message and the first question."""
    return Template(
        name=name,
        head=f"{_CURIOUS_HUMAN}###{before}Human: ",
        again="Human: ",
        user_close="###",
        prompt="Assistant:",
        answer_open=" ",
        answer_close="###",
    )


def _chatml(name: str, system: str, between: str) -> Template:
    """Return a ChatML template; `between` follows every <|im_end|>: nothing (MPT style) or a newline (Qwen)."""
    return Template(
        name=name,
        head=f"<|im_start|>system\n{system}<|im_end|>{between}<|im_start|>user\n",
        again="<|im_start|>user\n",
        user_close=f"<|im_end|>{between}",
        prompt="<|im_start|>assistant\n",
        answer_open="",
        answer_close=f"<|im_end|>{between}",
    )


_ALL = (
    _vicuna("vicuna_v1", _CURIOUS_USER),
    _vicuna("llava_v1", _CURIOUS_HUMAN),
    _hashes("llava_v0", before=""),
    _hashes("v0", before=f"Human: {vicuna_v0.QUESTION}###Assistant: {vicuna_v0.ANSWER}###"),
    Template(
        name="llava_llama_2",
        head=f"[INST] <<SYS>>\n{_VISION_ASSISTANT}\n<</SYS>>\n\n",
        again="<s>[INST] ",
        user_close=" [/INST]",
        prompt="",
        answer_open=" ",
        answer_close=" </s>",
    ),
    Template(
        name="mistral_instruct",
        head="[INST] ",
        again="[INST] ",
        user_close=" [/INST]",
        prompt="",
        answer_open=" ",
        answer_close=" </s>",
    ),
    Template(
        name="mistral_zephyr",
        head="<|system|>\nYou are a helpful AI assistant.</s><|user|>\n",
        again="<|user|>\n",
        user_close="</s>",
        prompt="<|assistant|>\n",
        answer_open="",
        answer_close="</s>",
    ),
    _chatml("chatml_direct", "Answer the questions.", between=""),
    _chatml("mistral_direct", "Answer the questions.", between=""),
    _chatml("mistral_orca", _ORCA_SYSTEM, between=""),
    _chatml("mpt", _MPT_SYSTEM, between=""),
    _chatml("qwen_1_5", "You are a helpful assistant.", between="\n"),
    _chatml("qwen_2", "You are a helpful assistant.", between="\n"),
    _chatml("qwen_2_5", _QWEN_2_5_SYSTEM, between="\n"),
    Template(
        name="llava_llama_3",
        head=(
            f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{_VISION_ASSISTANT}<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n"
        ),
        again="<|start_header_id|>user<|end_header_id|>\n\n",
        user_close="<|eot_id|>",
        prompt="<|start_header_id|>assistant<|end_header_id|>\n\n",
        answer_open="",
        answer_close="<|eot_id|>",
        # the Llama 3 chat template strips every message
        trim=True,
    ),
    Template(
        name="gemma_instruct",
        head="<start_of_turn>user\n",
        again="<start_of_turn>user\n",
        user_close="<end_of_turn>\n",
        prompt="<start_of_turn>model\n",
        answer_open="",
        answer_close="<end_of_turn>\n",
    ),
    Template(
        name="plain",
        head="",
        again="",
        user_close="",
        prompt="",
        answer_open="",
        answer_close="\n",
        media_only=True,
    ),
    # compact: a small vocabulary spends no tokens on politeness
    Template(
        name="pocket",
        head="<user> ",
        again=" <user> ",
        user_close=" ",
        prompt="<assistant>",
        answer_open=" ",
        answer_close=" <end>",
    ),
)

TEMPLATES: dict[str, Template] = {template.name: template for template in _ALL}


def template(name: str) -> Template:
    """Return a template by name; ValueError listing the known names when there is none."""
    if name not in TEMPLATES:
        raise ValueError(f"template: expected one of {', '.join(sorted(TEMPLATES))}, got {name!r}")
    return TEMPLATES[name]
