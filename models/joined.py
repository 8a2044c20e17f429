"""Answer prompts together that begin with different prefixes, each of which the language model has read already.

    prefixes = [model.prefix(processor.collate([prepared]), length=...) for prepared in clips]
    ids_BN = go_on(model, [prefixes[0], prefixes[0], prefixes[1]], [rest, rest, rest], 32)

Legend: B rows, P longest prefix, R longest rest, H heads, K head width, D language model width, N new tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache

from models.generation import Sampling, Stopped, write
from models.llms.rotary import is_fixed
from models.lmm import LMM
from models.prefix import Prefix


def can_go_on(model: LMM) -> bool:
    """Return whether prompts of different length may be joined.

    Not where attention reaches a window of places, nor where a prompt's length changes how its beginning is read.
    """
    # padding between a prefix and what follows it would push real positions out of the window
    return getattr(model.llm.config, "sliding_window", None) is None and is_fixed(model.llm)


@torch.inference_mode()
def go_on(
    model: LMM,
    prefixes: Sequence[Prefix],
    rests: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    stop_ids: Sequence[int] = (),
    stopped: Stopped | None = None,
) -> Tensor:
    """Return new ids [B, <= N], greedy, of rows that each go on with the ids of a text behind a prefix.

    The prefixes stay as they are. Raises ValueError for an empty text, or a number of texts that is not that of the
    prefixes.
    """
    if len(prefixes) != len(rests) or not all(rests):
        raise ValueError(f"go_on: expected a text of at least one id for each of {len(prefixes)} prefixes")
    longest, device = max(map(len, rests)), model.device
    ids_BR = torch.tensor([[0] * (longest - len(rest)) + list(rest) for rest in rests], device=device)
    read_BR = torch.tensor([[0] * (longest - len(rest)) + [1] * len(rest) for rest in rests], device=device)
    lengths_B1 = torch.tensor([[prefix.length] for prefix in prefixes], device=device)
    before = max(prefix.length for prefix in prefixes)
    read_BP = (torch.arange(before, device=device) >= before - lengths_B1).long()
    return write(
        model.llm,
        model.llm.get_input_embeddings()(ids_BR),
        torch.cat([read_BP, read_BR], dim=1),
        (read_BR.cumsum(-1) - 1).clamp(min=0) + lengths_B1,
        max_new_tokens,
        cache=_joined(prefixes, before),
        sampling=Sampling(),
        stop_ids=stop_ids,
        stopped=stopped,
    )


def _joined(prefixes: Sequence[Prefix], before: int) -> DynamicCache:
    """Return a cache with a row for each prefix, padded on its left to `before` positions."""
    if all(prefix is prefixes[0] for prefix in prefixes):
        return prefixes[0].cache(len(prefixes))
    layers = []
    for index in range(len(prefixes[0].layers)):
        pairs = [prefix.layers[index] for prefix in prefixes]
        keys = torch.cat([pad(key_1HPK, (0, 0, before - key_1HPK.shape[2], 0)) for key_1HPK, _ in pairs])
        values = torch.cat([pad(value_1HPK, (0, 0, before - value_1HPK.shape[2], 0)) for _, value_1HPK in pairs])
        layers.append((keys, values))
    return DynamicCache(layers)
