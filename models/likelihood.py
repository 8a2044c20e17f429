"""How likely a model finds each of several answers to one prompt: one pass over the prompt, one over the answers.

Legend: B answers, P prefix positions, L sequence, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.batch import Batch
from models.example import Example, Turn
from models.llms.rotary import is_fixed
from models.lmm import LMM
from models.logprob import LogProb
from models.prefix import common
from models.prepared import Prepared
from models.processor import Processor
from models.prompt.positions import IGNORED


def answer_logprobs(
    model: LMM, processor: Processor, prepared: Prepared, example: Example, answers: Sequence[str], opening: str = ""
) -> tuple[LogProb, ...]:
    """Return log p(answer | prompt) of each answer, up to and with the mark that ends it.

    example: the conversation of `prepared`, which ends with the user's turn; its media are planned and rendered once.
    opening: words that every answer begins with; they are part of what is measured, and the same for all. Raises
    ValueError without answers and for one of no tokens.
    """
    if not answers:
        raise ValueError(f"example {example.id}: no answers to measure")
    told = [_told(example, opening + answer) for answer in answers]
    batch = processor.collate([processor.reprompt(prepared, one) for one in told]).to(model.device)
    return logprobs(model, batch)


@torch.no_grad()
def logprobs(model: LMM, batch: Batch) -> tuple[LogProb, ...]:
    """Return of each row of a batch the log-probability of its learned positions, in fp32.

    What all rows begin with is read once, up to the position that foretells the first learned one.
    """
    learned_BL = batch.labels_BL != IGNORED
    if not bool(learned_BL.any(-1).all()):
        raise ValueError("logprobs: a row without an answer")
    first = int(learned_BL.long().argmax(-1).min())
    length = min(common(batch), first - 1)
    # a dynamic base reads the beginning as the whole length has it
    prefix = model.prefix(batch, length=length) if length > 0 and is_fixed(model.llm) else None
    skipped = 0 if prefix is None else prefix.length
    logits_BLV = model(batch, prefix=prefix).logits
    totals_B = _totals(logits_BLV, batch.labels_BL[:, skipped:])
    counts_B = learned_BL[:, 1:].sum(-1)
    return tuple(
        LogProb(total=total, tokens=count) for total, count in zip(totals_B.tolist(), counts_B.tolist(), strict=True)
    )


def _totals(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    """Return the sum over learned positions of the log-probability [B] that the position before gives them."""
    targets_BL = labels_BL[:, 1:]
    learned_BL = targets_BL != IGNORED
    chances_BLV = logits_BLV[:, :-1].float().log_softmax(-1)
    chosen_BL = chances_BLV.gather(-1, targets_BL.clamp(min=0)[..., None])[..., 0]
    return torch.where(learned_BL, chosen_BL.double(), 0.0).sum(-1)


def _told(example: Example, answer: str) -> Example:
    return Example(id=example.id, media=example.media, turns=(*example.turns, Turn(role="assistant", text=answer)))
