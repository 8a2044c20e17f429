"""The language model's inputs: word vectors and visual tokens, each written once to its row.

Legend: N tiles, P tokens per tile, D width, K end vectors, B prompts, L sequence, R = B * L rows, T packed tokens.
"""

import torch
from torch import Tensor, nn

from kernels.pack.embeds import pack_embeds, pack_into
from kernels.pack.op import pack
from kernels.pack.table import PackTable


def placed(
    words: nn.Module, ids_BL: Tensor, visual_BL: Tensor, features_NPD: Tensor, ends_KD: Tensor, table: PackTable
) -> Tensor:
    """Return inputs [B, L, D] in the words' dtype: words of ids_BL where visual_BL is -1, else the token it names.

    words: a model's input embeddings. An ordinary table of vectors is read by the packing itself, so that nothing is
    written twice; any other module (scaled, wrapped, hooked, on another device) looks all ids up first, and packing
    writes over the rows of visual tokens.
    """
    if is_table(words, features_NPD.device):
        features_NPD, table = _in_dtype(words.weight.dtype, features_NPD, ends_KD, table)
        return pack_embeds(words.weight, ids_BL, visual_BL, features_NPD, ends_KD, table, words.padding_idx)
    embeds_BLD = words(ids_BL)
    features_NPD, table = _in_dtype(embeds_BLD.dtype, features_NPD, ends_KD, table)
    given = (embeds_BLD, features_NPD, ends_KD)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in given):
        return pack_into(embeds_BLD.contiguous(), visual_BL, features_NPD, ends_KD, table)
    rows_BL = torch.arange(ids_BL.numel(), device=ids_BL.device).view_as(ids_BL)
    return pack_embeds(embeds_BLD.flatten(0, 1), rows_BL, visual_BL, features_NPD, ends_KD, table)


def is_table(words: nn.Module, device: torch.device) -> bool:
    """Return whether calling the module is the same as reading rows of its weight, which is on the device."""
    if type(words) is not nn.Embedding or words.max_norm is not None or words.scale_grad_by_freq or words.sparse:
        return False
    hooks = (words._forward_hooks, words._forward_pre_hooks, words._backward_hooks, words._backward_pre_hooks)
    return "forward" not in vars(words) and not any(hooks) and words.weight.device == device


def _in_dtype(dtype: torch.dtype, features_NPD: Tensor, ends_KD: Tensor, table: PackTable) -> tuple[Tensor, PackTable]:
    """Return features of a dtype and their table; a dtype that holds less gets the packed tokens, rounded once."""
    if features_NPD.dtype == dtype:
        return features_NPD, table
    if torch.promote_types(features_NPD.dtype, dtype) == dtype:
        return features_NPD.to(dtype), table
    tokens_TD = pack(features_NPD, ends_KD, table)
    return tokens_TD.to(dtype)[:, None], PackTable.copies(table.num_tokens).to(tokens_TD.device)
