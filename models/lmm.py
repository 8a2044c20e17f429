"""The model: encode, project, pack by plan, place by index, and let the language model read.

Legend: N tiles, P patches per tile, E encoder width, D language model width, K end vectors, T packed tokens, B rows,
L sequence, C channels, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import CausalLMOutputWithPast

from kernels.pack.op import pack
from kernels.pack.table import PackTable
from models.batch import Batch, Known
from models.by_call import Sources, place_calls
from models.compute import Compute, Encoding, Reading
from models.encoders.run import encode, encoded
from models.generation import Sampling, Stopped, write
from models.kept import project, project_kept
from models.placing import is_table, placed
from models.prefix import Prefix, common, from_cache
from models.reading import new_cache, read


class LMM(nn.Module):
    """A vision encoder, a projector, learned end vectors and any causal language model."""

    def __init__(self, encoder: nn.Module, projector: nn.Module, llm: PreTrainedModel, num_ends: int = 1) -> None:
        super().__init__()
        # how much is computed at a time; neither changes what is computed. compute: as the model was loaded
        self.encoding, self.reading, self.compute = Encoding(), Reading(), Compute()
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
        """Return encoder features [N, P, E] of uint8 or normalised tiles, in calls as `self.encoding` says."""
        return encode(self.encoder, pixels_NCHW, self.encoding, self.dtype)

    def tokens(self, features_NPE: Tensor, batch: Batch) -> Tensor:
        """Return the packed visual tokens [T, D] from encoder features of the batch's pixels."""
        features_NPD, table = self._projected(features_NPE, batch)
        return pack(features_NPD, self.ends_KD, table)

    def embed(self, batch: Batch, features_NPE: Tensor | None = None) -> Tensor:
        """Return the language model's inputs [B, L, D]: word vectors, with visual tokens placed by index."""
        words = self.llm.get_input_embeddings()
        if batch.known is not None:
            return self._with_known(words, batch, batch.known, features_NPE)
        if batch.table.num_tokens == 0:
            return words(batch.ids_BL)
        if features_NPE is None:
            if (sources := self._sources(words, batch)) is not None:
                calls = encoded(self.encoder, batch.pixels_NCHW, self.encoding, self.dtype)
                return place_calls(calls, sources, self.projector, self.ends_KD, words.weight, batch.ids_BL)
            features_NPE = self.encode(batch.pixels_NCHW)
        features_NPD, table = self._projected(features_NPE, batch)
        return placed(words, batch.ids_BL, batch.visual_BL, features_NPD, self.ends_KD, table)

    def _sources(self, words: nn.Module, batch: Batch) -> Sources | None:
        """Return where a batch's inputs come from if they can be made call by call of the encoder, else None."""
        device = batch.ids_BL.device
        if device.type != "cpu" or self.device != device or torch.is_grad_enabled() or not is_table(words, device):
            return None
        return Sources.of(batch, self.encoder.spec.tile.tok**2)

    def _projected(self, features_NPE: Tensor, batch: Batch) -> tuple[Tensor, PackTable]:
        """Return what to pack [N, P, D], and the table to pack it by, from encoder features of the batch's pixels."""
        if batch.pack_first:
            return project_kept(batch.spread(features_NPE), batch.table, self.projector)
        return batch.spread(project(features_NPE, self.projector)), batch.table

    def _with_known(self, words: nn.Module, batch: Batch, known: Known, features_NPE: Tensor | None) -> Tensor:
        """Return what `embed` returns where tokens of some media are known."""
        if batch.table.num_tokens:
            features_NPE = self.encode(batch.pixels_NCHW) if features_NPE is None else features_NPE
            tokens_TD = known.among(self.tokens(features_NPE, batch))
        else:
            tokens_TD = known.among(known.tokens_KD.new_zeros(0, self.ends_KD.shape[-1], dtype=self.dtype))
        table = PackTable.copies(len(tokens_TD)).to(tokens_TD.device)
        return placed(words, batch.ids_BL, batch.visual_BL, tokens_TD[:, None], self.ends_KD, table)

    def forward(
        self, batch: Batch, features_NPE: Tensor | None = None, prefix: Prefix | None = None
    ) -> CausalLMOutputWithPast:
        """Return the language model's output for a batch; loss is left to the caller.

        features_NPE: what `encode` gave for the batch's pixels, when it is already known. prefix: what all rows begin
        with; the output is that of the positions behind it.
        """
        embeds_BLD, attention_BL, positions_BL = self._inputs(batch, features_NPE, prefix)
        return self.llm(
            inputs_embeds=embeds_BLD,
            attention_mask=attention_BL,
            position_ids=positions_BL,
            past_key_values=None if prefix is None else prefix.cache(len(embeds_BLD)),
            use_cache=prefix is not None,
        )

    @torch.no_grad()
    def prefix(self, batch: Batch, features_NPE: Tensor | None = None, length: int | None = None) -> Prefix:
        """Return what the language model keeps of the beginning that all rows of a batch have in common.

        length: of the first row's beginning, instead of the longest common one. Raises ValueError for a batch whose
        rows have nothing in common.
        """
        length = common(batch) if length is None else length
        if length < 1:
            raise ValueError(f"prefix: the {len(batch.ids_BL)} rows of the batch begin with nothing in common")
        ids_P, visual_P = batch.ids_BL[0, :length], batch.visual_BL[0, :length]
        first = replace(batch, ids_BL=ids_P[None], visual_BL=visual_P[None], attention_BL=torch.ones_like(ids_P)[None])
        cache = DynamicCache()
        read(self.llm, self.embed(first, features_NPE), cache, self.reading.piece)
        return from_cache(cache, ids_P, visual_P)

    @torch.inference_mode()
    def generate(
        self,
        batch: Batch,
        max_new_tokens: int,
        *,
        stop_ids: Sequence[int] = (),
        stopped: Stopped | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
        streamer: BaseStreamer | None = None,
        features_NPE: Tensor | None = None,
        prefix: Prefix | None = None,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """Return new ids [B, <= max_new_tokens], each row filled after its end with the first stop id, or 0.

        A row ends with a stop id, or where `stopped` says so of its new ids (Processor.stopper). temperature 0 is
        greedy; above it, tokens are drawn with `generator`, of the model's device. streamer: gets each new id (one row
        only). prefix: what all rows begin with, already read. cache: what to go on with, beginning with the prefix,
        instead of a new one.
        """
        if streamer is not None and len(batch.ids_BL) > 1:
            raise ValueError(f"generate: a streamer follows one row, the batch has {len(batch.ids_BL)}")
        embeds_BLD, attention_BL, positions_BL = self._inputs(batch, features_NPE, prefix, left=True)
        if prefix is not None:
            self._check_window(attention_BL, max_new_tokens)
        if cache is None:
            known = [] if prefix is None else prefix.repeated(len(embeds_BLD))
            cache = new_cache(self.llm, self.reading.cache, attention_BL.shape[1] + max_new_tokens, known)
        ids_BN = write(
            self.llm,
            embeds_BLD,
            attention_BL,
            positions_BL,
            max_new_tokens,
            cache=cache,
            piece=self.reading.piece,
            sampling=Sampling(temperature=temperature, top_p=top_p, generator=generator),
            stop_ids=stop_ids,
            stopped=stopped,
            emit=None if streamer is None else streamer.put,
        )
        if streamer is not None:
            streamer.end()
        return ids_BN

    def _check_window(self, attention_BL: Tensor, max_new_tokens: int) -> None:
        """Raise ValueError where padding behind a prefix would push real positions out of a sliding window."""
        window = getattr(self.llm.config, "sliding_window", None)
        length = attention_BL.shape[1] + max_new_tokens
        if window is not None and length > window and not bool(attention_BL.all()):
            raise ValueError(
                f"prefix: rows of different length, {length} positions with the answer, and a sliding window of "
                f"{window}: answer such questions one by one"
            )

    def _inputs(
        self, batch: Batch, features_NPE: Tensor | None, prefix: Prefix | None, left: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs [B, L, D] and positions [B, L] behind the prefix, and the attention mask [B, P + L]."""
        rest = batch if prefix is None else prefix.rest(batch)
        rest = rest.left_padded() if left else rest
        shown = features_NPE if rest.table.num_tokens else None
        embeds_BLD = self.embed(rest, shown)
        if prefix is None:
            return embeds_BLD, rest.attention_BL, positions(rest.attention_BL)
        read_BP = rest.attention_BL.new_ones(len(embeds_BLD), prefix.length)
        return (
            embeds_BLD,
            torch.cat([read_BP, rest.attention_BL], dim=1),
            positions(rest.attention_BL) + prefix.length,
        )


def positions(attention_BL: Tensor) -> Tensor:
    """Return position ids [B, L] that start at 0 with each row's first real token."""
    return (attention_BL.long().cumsum(-1) - 1).clamp(min=0)
