"""adapter_config.json: which modules have low-rank weights, and how strongly they count."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checkpoints.format import read_json

CONFIG = "adapter_config.json"

# what changes the arithmetic or the weights it starts from, and has no place in W + scale * B A
_REFUSED = (
    "fan_in_fan_out",
    "use_dora",
    "use_qalora",
    "lora_bias",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "corda_config",
    "loftq_config",
)
# starts that leave the base's weights alone; the other ones (pissa, olora, ...) take something away from them
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """What an adapter's config says about its modules.

    targets: module names, or a regular expression for whole ones. rank_pattern, alpha_pattern: end of a module's name,
    as a regular expression, to its own rank or alpha; the first that fits counts. whole: modules stored in full.
    partial: whether it names layers or modules that are left out. base: where the base model was, as a path or a name.
    """

    rank: int
    alpha: float
    by_root: bool
    targets: tuple[str, ...] | str
    rank_pattern: tuple[tuple[str, int], ...]
    alpha_pattern: tuple[tuple[str, float], ...]
    whole: tuple[str, ...]
    partial: bool
    base: str

    def rank_of(self, module: str) -> int:
        """Return a module's rank."""
        return next((rank for pattern, rank in self.rank_pattern if _ends(module, pattern)), self.rank)

    def scale_of(self, module: str) -> float:
        """Return what a module's B A is multiplied with: alpha / r, or alpha / sqrt(r) for rank-stabilised adapters."""
        alpha = next((alpha for pattern, alpha in self.alpha_pattern if _ends(module, pattern)), self.alpha)
        rank = self.rank_of(module)
        return alpha / rank**0.5 if self.by_root else alpha / rank

    def targets_module(self, module: str) -> bool:
        """Tell whether a module of a language model should have low-rank weights, as far as the config tells."""
        if self.partial or self.targets == "all-linear":
            return False
        if isinstance(self.targets, str):
            return re.fullmatch(self.targets, module) is not None
        return any(module == target or module.endswith(f".{target}") for target in self.targets)


def read_lora_config(path: Path) -> LoraConfig:
    """Return an adapter's config. Raises ValueError naming the file and a key that is missing or not supported."""
    raw = read_json(path)
    if raw.get("peft_type", "LORA") != "LORA":
        raise ValueError(f"{path}: peft_type {raw['peft_type']!r} is not supported, expected 'LORA'")
    if raw.get("bias", "none") != "none":
        raise ValueError(f"{path}: bias {raw['bias']!r} is not supported, expected 'none'")
    for key in _REFUSED:
        if raw.get(key):
            raise ValueError(f"{path}: {key} {raw[key]!r} is not supported")
    if raw.get("init_lora_weights", True) not in _STARTS:
        raise ValueError(
            f"{path}: init_lora_weights {raw['init_lora_weights']!r} changes the base's weights and is not supported"
        )
    targets = _required(raw, "target_modules", (str, list), path)
    return LoraConfig(
        rank=_required(raw, "r", (int,), path),
        alpha=_required(raw, "lora_alpha", (int, float), path),
        by_root=bool(raw.get("use_rslora")),
        targets=targets if isinstance(targets, str) else tuple(targets),
        rank_pattern=tuple((raw.get("rank_pattern") or {}).items()),
        alpha_pattern=tuple((raw.get("alpha_pattern") or {}).items()),
        whole=tuple(raw.get("modules_to_save") or ()),
        partial=any(raw.get(key) for key in ("layers_to_transform", "layers_pattern", "exclude_modules")),
        base=raw.get("base_model_name_or_path") or "",
    )


def _required(raw: Mapping[str, Any], key: str, types: tuple[type, ...], path: Path) -> Any:
    if not isinstance(raw.get(key), types) or not raw[key]:
        raise ValueError(f"{path}: expected {key} ({' or '.join(t.__name__ for t in types)}), got {raw.get(key)!r}")
    return raw[key]


def _ends(module: str, pattern: str) -> bool:
    return re.fullmatch(rf"(.*\.)?({pattern})", module) is not None
