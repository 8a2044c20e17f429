"""The configuration of anyres-convert."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertConfig:
    """anyres-convert: how a checkpoint is written.

    shard_size: of the largest weights file, a text such as "2GB", or bytes. dtype: of the written weights, None for
    their own. template: the name of a prompt template, None for the source's. base: what a LoRA folder is merged into,
    None for what its config names.
    """

    shard_size: str | int
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    template: str | None = None
    base: str | None = None
