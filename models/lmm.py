"""The model: encode, project, pack by plan, place by index, and let the language model read.

Legend: N tiles, P patches per tile, E encoder width, D language model width, K end vectors, T packed tokens, B rows,
L sequence, C channels, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import CausalLMOutputWithPast

from kernels.pack.op import pack
from models.batch import Batch


class LMM(nn.Module):
    """A vision encoder, a projector, learned end vectors and any causal language model."""

    def __init__(self, encoder: nn.Module, projector: nn.Module, llm: PreTrainedModel, num_ends: int = 1) -> None:
        super().__init__()
        self.encoder, self.projector, self.llm = encoder, projector, llm
        hidden = llm.get_input_embeddings().embedding_dim
        self.ends_KD = nn.Parameter(torch.randn(num_ends, hidden, dtype=llm.dtype) / hidden**0.5)

    @property
    def device(self) -> torch.device:
        """Return the device of the end vectors, where batches belong."""
        return self.ends_KD.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the language model's dtype."""
        return self.llm.dtype

    def encode(self, pixels_NCHW: Tensor) -> Tensor:
        """Return encoder features [N, P, E] of normalised pixels."""
        return self.encoder(pixels_NCHW.to(self.dtype))

    def tokens(self, features_NPE: Tensor, batch: Batch) -> Tensor:
        """Return the packed visual tokens [T, D] from encoder features."""
        if not batch.pack_first:
            return pack(self.projector(features_NPE), self.ends_KD, batch.table)
        num_ends = self.ends_KD.shape[0]
        packed_TE = pack(features_NPE, features_NPE.new_zeros(num_ends, features_NPE.shape[-1]), batch.table)
        # which end vector a token is, as packing no features and unit end vectors tells
        nothing_NPK = features_NPE.new_zeros(*features_NPE.shape[:2], num_ends)
        ends_TK = pack(nothing_NPK, torch.eye(num_ends).to(features_NPE), batch.table)
        return torch.where(ends_TK.any(-1, keepdim=True), ends_TK @ self.ends_KD, self.projector(packed_TE))

    def embed(self, batch: Batch, features_NPE: Tensor | None = None) -> Tensor:
        """Return the language model's inputs [B, L, D]: word vectors, with visual tokens placed by index."""
        embeds_BLD = self.llm.get_input_embeddings()(batch.ids_BL)
        if batch.table.num_tokens == 0:
            return embeds_BLD
        features_NPE = self.encode(batch.pixels_NCHW) if features_NPE is None else features_NPE
        tokens_TD = self.tokens(features_NPE, batch).to(embeds_BLD.dtype)
        placed_BLD = tokens_TD[batch.visual_BL.clamp(min=0)]
        return torch.where((batch.visual_BL >= 0)[..., None], placed_BLD, embeds_BLD)

    def forward(self, batch: Batch, features_NPE: Tensor | None = None) -> CausalLMOutputWithPast:
        """Return the language model's output for a batch; loss is left to the caller.

        features_NPE: what `encode` gave for the batch's pixels, when it is already known.
        """
        return self.llm(
            inputs_embeds=self.embed(batch, features_NPE),
            attention_mask=batch.attention_BL,
            position_ids=positions(batch.attention_BL),
            use_cache=False,
        )

    @torch.inference_mode()
    def generate(
        self,
        batch: Batch,
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        temperature: float = 0.0,
        top_p: float = 1.0,
        streamer: BaseStreamer | None = None,
        features_NPE: Tensor | None = None,
    ) -> Tensor:
        """Return new ids [B, <= max_new_tokens], each row closed by a stop id and filled with it after that.

        temperature 0 is greedy; above it, sampling uses torch's global generator. Without stop ids every row has
        max_new_tokens. streamer: gets each new id (one row only).
        """
        left = batch.left_padded()
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
        return self.llm.generate(
            inputs_embeds=self.embed(left, features_NPE),
            attention_mask=left.attention_BL,
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            eos_token_id=list(stop_ids) or None,
            pad_token_id=stop_ids[0] if stop_ids else 0,
            streamer=streamer,
            **sampling,
        )


def positions(attention_BL: Tensor) -> Tensor:
    """Return position ids [B, L] that start at 0 with each row's first real token."""
    return (attention_BL.long().cumsum(-1) - 1).clamp(min=0)
