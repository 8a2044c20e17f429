"""What a built language model does with its config's RoPE settings."""

from transformers import PreTrainedConfig, PreTrainedModel


def check_rope(llm: PreTrainedModel) -> None:
    """Raise ValueError where the config scales positions and the model that was built from it does not.

    Classes with learned or linear-bias positions, and some with rotary ones, take such a config and ignore it.
    """
    wanted = rope_type(llm.config)
    if wanted == "default":
        return
    # a rotary module keeps its frequencies in this buffer
    rotary = [module for module in llm.modules() if "inv_freq" in dict(module.named_buffers(recurse=False))]
    found = {vars(module).get("rope_type") for module in rotary}
    if found != {wanted}:
        said = ", ".join(sorted(map(str, found))) or "no rotary positions"
        raise ValueError(
            f"{llm.config.model_type}: the config scales positions by {wanted!r}, but {type(llm).__name__} has {said}: "
            "longer prompts would be read unscaled"
        )


def rope_type(config: PreTrainedConfig) -> str:
    """Return how a config scales rotary positions; "default" for not at all, or differently by layer."""
    rope = config.to_dict().get("rope_parameters") or {}
    kind = rope.get("rope_type", "default")
    return kind if isinstance(kind, str) else "default"


def is_fixed(llm: PreTrainedModel) -> bool:
    """Tell whether a position is encoded the same whatever follows it: a "dynamic" base grows with the prompt."""
    return rope_type(llm.config) not in ("dynamic", "longrope")
