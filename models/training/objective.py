"""What a stage minimises: a Protocol, and the loss on answers with optional teaching of where each visual token lies.

Legend: B rows, L sequence, D decoder width, T packed visual tokens, V vocabulary.
"""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import Batch
from models.lmm import LMM, positions


class Objective(Protocol):
    """A loss with, where it needs them, parameters of its own that live only in training (an nn.Module)."""

    def __call__(self, model: LMM, batch: Any, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and the numbers to log; `batch` is what the stage's data source made."""
        ...


class Answers(nn.Module):
    """Mean cross-entropy over the answers' tokens."""

    def __call__(self, model: LMM, batch: Batch, rope_factor: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and the share of answer tokens that are right."""
        output = decode(model, batch, positions(batch.attention_BL) / rope_factor, batch.attention_BL)
        loss, right = answer_loss(output.logits, batch.labels_BL)
        return loss, {"right": right}


def decode(model: LMM, batch: Batch, positions_BL: Tensor, attention: Tensor, hidden: bool = False) -> Any:
    """Return the language model's output; fractional positions are what linear RoPE scaling makes of them.

    attention: [B, L], 1 for tokens and 0 for padding, or [B, 1, L, L] as `visibility` gives it.
    """
    return model.llm(
        inputs_embeds=model.embed(batch),
        attention_mask=attention,
        position_ids=positions_BL,
        output_hidden_states=hidden,
        use_cache=False,
    )


def visibility(blocks_BL: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an additive mask [B, 1, L, L]: a position reads earlier ones of block 0 and of its own block."""
    length = blocks_BL.shape[1]
    earlier_LL = torch.ones(length, length, dtype=torch.bool, device=blocks_BL.device).tril()
    own_BLL = blocks_BL[:, :, None] == blocks_BL[:, None, :]
    seen_BLL = earlier_LL & (own_BLL | (blocks_BL[:, None, :] == 0))
    hidden = torch.zeros(seen_BLL.shape, dtype=dtype, device=blocks_BL.device)
    return hidden.masked_fill_(~seen_BLL, torch.finfo(dtype).min)[:, None]


def answer_loss(logits_BLV: Tensor, labels_BL: Tensor) -> tuple[Tensor, float]:
    """Return the mean next-token cross-entropy over labels other than -100, and the share predicted right."""
    wanted_BL = labels_BL[:, 1:]
    kept = wanted_BL != -100
    logits_KV, wanted_K = logits_BLV[:, :-1][kept].float(), wanted_BL[kept]
    right = (logits_KV.detach().argmax(-1) == wanted_K).float().mean().item()
    return F.cross_entropy(logits_KV, wanted_K), right
