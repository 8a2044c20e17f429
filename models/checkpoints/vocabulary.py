"""Rows of the vocabulary: added for transformers' <image> token, and taken away again.

Legend: V rows of the vocabulary, D language model width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor

from models.checkpoints.ends import WORDS
from models.checkpoints.tensors import LazyTensors, lazily

HEAD = "llm.lm_head.weight"
MULTIPLE = 64

Config = dict[str, Any]


def with_tokens(tokenizer: Tokenizer, names: tuple[str, ...]) -> Tokenizer:
    """Return a copy of a tokenizer that has special tokens of these names."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return copy


def grown(config: Config, tensors: Mapping[str, Tensor], ids: int) -> tuple[Config, LazyTensors]:
    """Return a language model's config and weights with room for `ids` token ids.

    New rows, up to a multiple of 64, hold the mean of the old ones. A vocabulary that is large enough stays as it is.
    """
    vocab = config["vocab_size"]
    if ids <= vocab:
        return config, lazily(tensors)
    rows = -(-ids // MULTIPLE) * MULTIPLE
    return {**config, "vocab_size": rows}, _each_table(tensors, rows, lambda table_VD: _grow(table_VD, rows))


def trimmed(config: Config, tensors: Mapping[str, Tensor], vocab: int) -> tuple[Config, LazyTensors]:
    """Return a language model's config and weights with the first `vocab` rows only."""
    return {**config, "vocab_size": vocab}, _each_table(tensors, vocab, lambda table_VD: table_VD[:vocab].clone())


def _each_table(tensors: Mapping[str, Tensor], rows: int, change: Callable[[Tensor], Tensor]) -> LazyTensors:
    lazy = lazily(tensors)
    for key in (WORDS, HEAD):
        if key in lazy:
            lazy = lazy.changed(key, (rows, *lazy.what(key).shape[1:]), change)
    return lazy


def _grow(table_VD: Tensor, rows: int) -> Tensor:
    mean_D = table_VD.float().mean(0).to(table_VD.dtype)
    return torch.cat([table_VD, mean_D.expand(rows - table_VD.shape[0], -1)])
