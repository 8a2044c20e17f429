"""Linear RoPE scaling of a language model's config: positions divided by a factor. Dicts in, dicts out."""

from typing import Any

Config = dict[str, Any]

LEGACY_KEYS = ("rope_scaling", "rope_theta")


def scale_rope(config: Config, factor: float) -> Config:
    """Return a transformers config (as a dict) whose rotary positions are divided by `factor`, other keys unchanged.

    The result is in the format of transformers 5 (`rope_parameters`). A linear factor that the config already has is
    multiplied, since `factor` counts from what the checkpoint was trained with; 1.0 returns the config as it is.

    Raises ValueError for a factor below 1, a model without rotary positions, or a scaling that is not linear.
    """
    if factor < 1.0:
        raise ValueError(f"rope_factor: expected at least 1.0, got {factor}")
    if factor == 1.0:
        return dict(config)
    rope = rope_parameters(config)
    kind = rope["rope_type"]
    if kind not in ("default", "linear"):
        raise ValueError(f"rope_factor={factor}: the language model already scales its positions by {kind!r}")
    trained = float(rope["factor"]) if kind == "linear" else 1.0
    scaled = {**rope, "rope_type": "linear", "factor": trained * factor}
    rest = {key: value for key, value in config.items() if key not in LEGACY_KEYS}
    return {**rest, "rope_parameters": scaled}


def unscale_rope(config: Config, factor: float) -> Config:
    """Return the config that `scale_rope` with the same factor made this one from, in the format of transformers 5."""
    if factor == 1.0:
        return dict(config)
    rope = rope_parameters(config)
    trained = rope["factor"] / factor
    kept = {key: value for key, value in rope.items() if key not in ("rope_type", "factor")}
    plain = {**kept, "rope_type": "default"} if trained == 1.0 else {**kept, "rope_type": "linear", "factor": trained}
    return {**config, "rope_parameters": plain}


def rope_parameters(config: Config) -> Config:
    """Return the rotary settings of a config, from either format: rope_parameters, or rope_theta with rope_scaling.

    Raises ValueError where there are none, or where each kind of layer has its own.
    """
    kind = config.get("model_type")
    found = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    if any(isinstance(value, dict) for value in found.values()):
        raise ValueError(f"{kind}: rotary settings that differ by layer ({sorted(found)}) have no one factor")
    if "rope_theta" not in found and config.get("rope_theta") is None:
        raise ValueError(f"{kind}: the config has no rope_parameters and no rope_theta, so there is no RoPE to scale")
    theta = found.get("rope_theta", config.get("rope_theta"))
    rope_type = found.get("rope_type", found.get("type", "default"))
    rest = {key: value for key, value in found.items() if key != "type"}
    return {**rest, "rope_theta": theta, "rope_type": rope_type}
