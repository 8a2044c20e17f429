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
        output = decode(model, batch, rope_factor)
        loss, right = answer_loss(output.logits, batch.labels_BL)
        return loss, {"right": right}


def decode(model: LMM, batch: Batch, rope_factor: float, hidden: bool = False) -> Any:
    """Return the language model's output with positions divided by `rope_factor`, as linear RoPE scaling does."""
    return model.llm(
        inputs_embeds=model.embed(batch),
        attention_mask=batch.attention_BL,
        position_ids=positions(batch.attention_BL) / rope_factor,
        output_hidden_states=hidden,
        use_cache=False,
    )


def answer_loss(logits_BLV: Tensor, labels_BL: Tensor) -> tuple[Tensor, float]:
    """Return the mean next-token cross-entropy over labels other than -100, and the share predicted right."""
    wanted_BL = labels_BL[:, 1:]
    kept = wanted_BL != -100
    logits_KV, wanted_K = logits_BLV[:, :-1][kept].float(), wanted_BL[kept]
    right = (logits_KV.detach().argmax(-1) == wanted_K).float().mean().item()
    return F.cross_entropy(logits_KV, wanted_K), right
