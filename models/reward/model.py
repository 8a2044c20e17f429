"""A reward model: a model of this project and one linear layer, which reads a score off the last position.

Legend: B rows, L sequence, D language model width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from models.batch import Batch
from models.example import Example
from models.lmm import LMM, positions
from models.prepared import Prepared
from models.processor import Processor
from models.prompt.positions import PromptPlan
from models.reward.prompt import FACTUAL, PLAIN, scoring_text, shuffled, with_scoring


class RewardModel(nn.Module):
    """Scores the last answer of a conversation about media."""

    def __init__(self, lmm: LMM, head: nn.Linear, processor: Processor) -> None:
        super().__init__()
        self.lmm, self.head, self.processor = lmm, head, processor

    def forward(self, batch: Batch) -> Tensor:
        """Return rewards [B] in the head's dtype: the head's output at each row's last position."""
        left = batch.left_padded()
        hidden_BLD = self.lmm.llm.base_model(
            inputs_embeds=self.lmm.embed(left),
            attention_mask=left.attention_BL,
            position_ids=positions(left.attention_BL),
            use_cache=False,
        ).last_hidden_state
        return self.head(hidden_BLD[:, -1].to(self.head.weight.dtype)).squeeze(-1)

    def prepare(self, example: Example, captions: Sequence[str] | None = None, prompt: str | None = None) -> Prepared:
        """Return a conversation with the scoring prompt behind it, up to its last token, where the score is read.

        captions: of the media, in the order given. prompt: instead of the released one, with captions or without.
        Raises ValueError as `models.reward.prompt` does and when the prompt is longer than the context.
        """
        scoring = scoring_text(prompt or (FACTUAL if captions else PLAIN), captions)
        prepared = self.processor.prepare(with_scoring(example, scoring, self.processor.template))
        return replace(prepared, prompt=self._open(prepared.prompt, example.id))

    @torch.inference_mode()
    def score(
        self,
        examples: Sequence[Example],
        captions: Sequence[Sequence[str]] | None = None,
        *,
        prompt: str | None = None,
        seed: int = 0,
        batch_size: int = 4,
    ) -> list[float]:
        """Return the reward of each example's last answer.

        captions: per example, of its media; shown in an order that depends on the seed and the example's id alone.
        Raises ValueError as `prepare` does.
        """
        facts = [None] * len(examples) if captions is None else captions
        if len(facts) != len(examples):
            raise ValueError(f"score: {len(facts)} lists of captions for {len(examples)} examples")
        rewards: list[float] = []
        for start in range(0, len(examples), batch_size):
            rows = zip(examples[start : start + batch_size], facts[start : start + batch_size], strict=True)
            prepared = [self.prepare(one, texts and shuffled(texts, f"{seed} {one.id}"), prompt) for one, texts in rows]
            rewards += self(self.processor.collate(prepared).to(self.lmm.device)).tolist()
        return rewards

    def _open(self, prompt: PromptPlan, name: str) -> PromptPlan:
        """Return a prompt without the marker that closes its last answer."""
        close = self.processor.encode(self.processor.template.answer_close)
        end = len(prompt) - len(close)
        if list(prompt.ids[end:]) != close:
            raise ValueError(
                f"example {name}: expected the prompt to end with {self.processor.template.answer_close!r}, "
                f"ids {close}, got {list(prompt.ids[end:])}"
            )
        return PromptPlan.of(ids=prompt.ids[:end], labels=prompt.labels[:end], visual=prompt.visual[:end])


def fresh_head(hidden: int) -> nn.Linear:
    """Return an untrained head for a model of that width, in float32: random weights, bias 0."""
    head = nn.Linear(hidden, 1)
    nn.init.zeros_(head.bias)
    return head
