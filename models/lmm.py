"""The model: encode, project, pack by plan, place by index, and let the language model read.

Legend: N tiles, P tokens per tile, D width, T packed tokens, B rows, L sequence, K end vectors.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from kernels.pack.op import pack
from models.batch import Batch


class LMM(nn.Module):
    """A vision encoder, a projector, learned end vectors and any causal language model."""

    def __init__(self, encoder: nn.Module, projector: nn.Module, llm: PreTrainedModel, num_ends: int = 1) -> None:
        super().__init__()
        self.encoder, self.projector, self.llm = encoder, projector, llm
        hidden = llm.get_input_embeddings().embedding_dim
        self.ends_KD = nn.Parameter(torch.randn(num_ends, hidden) / hidden**0.5)

    def tokens(self, features_NPD: Tensor, batch: Batch) -> Tensor:
        """Return the packed visual tokens [T, D] from encoder features [N, P, D]."""
        return pack(self.projector(features_NPD), self.ends_KD, batch.table)

    def embed(self, batch: Batch, features_NPD: Tensor | None = None) -> Tensor:
        """Return the language model's inputs [B, L, D]: word vectors, with visual tokens placed by index."""
        embeds_BLD = self.llm.get_input_embeddings()(batch.ids_BL)
        if batch.table.num_tokens == 0:
            return embeds_BLD
        features_NPD = self.encoder(batch.pixels_NCHW) if features_NPD is None else features_NPD
        tokens_TD = self.tokens(features_NPD, batch).to(embeds_BLD.dtype)
        placed_BLD = tokens_TD[batch.visual_BL.clamp(min=0)]
        return torch.where((batch.visual_BL >= 0)[..., None], placed_BLD, embeds_BLD)

    def forward(self, batch: Batch, features_NPD: Tensor | None = None) -> CausalLMOutputWithPast:
        """Return the language model's output for a batch; loss is left to the caller."""
        embeds_BLD = self.embed(batch, features_NPD)
        return self.llm(
            inputs_embeds=embeds_BLD,
            attention_mask=batch.attention_BL,
            position_ids=positions(batch.attention_BL),
            use_cache=False,
        )


def positions(attention_BL: Tensor) -> Tensor:
    """Return position ids [B, L] that start at 0 with each row's first real token."""
    return (attention_BL.long().cumsum(-1) - 1).clamp(min=0)
