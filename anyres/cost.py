"""What a plan costs: FLOPs of encoder, projector and prefill, KV-cache bytes, share of the context. Integers, no torch.

A multiply and an add count as two FLOPs. Matrix products only: norms, activations, softmax and positions are left out
(under one per cent at these widths). Legend of the formulas: P tokens of one tile with its prefix, p its patches, d
width, m width of the MLP, n blocks, S positions, h hidden, a = heads * head size, k = key-value heads * head size, V
vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

from anyres.grid import TileSpec
from anyres.plan import VisualPlan


class EncoderSizes(Protocol):
    """What pricing needs to know of a vision tower; models.encoders.spec.EncoderSpec has it."""

    @property
    def tile(self) -> TileSpec:
        """Return pixels and tokens a side."""
        ...

    @property
    def patch_px(self) -> int:
        """Return pixels of a patch, a side."""
        ...

    @property
    def dim(self) -> int:
        """Return the width."""
        ...

    @property
    def blocks_run(self) -> int:
        """Return the blocks up to the last hidden state that is read."""
        ...

    @property
    def mlp(self) -> int:
        """Return the width of the MLP."""
        ...

    @property
    def mlp_maps(self) -> int:
        """Return the dim x mlp matrices of an MLP: 2, or 3 of a gated one."""
        ...

    @property
    def prefix_tokens(self) -> int:
        """Return tokens before the patches."""
        ...

    @property
    def second(self) -> "EncoderSizes | None":
        """Return the sizes of another tower on the same tiles, or None."""
        ...


class ProjectorSizes(Protocol):
    """What pricing needs to know of a projector; models.spec.ProjectorSpec has it."""

    @property
    def matrix_weights(self) -> int:
        """Return the weights of its matrices, each of which a token is multiplied with."""
        ...


class LlmSizes(Protocol):
    """What pricing needs to know of a decoder with gated MLPs; models.spec.LlmSpec has it."""

    @property
    def hidden(self) -> int:
        """Return the width."""
        ...

    @property
    def layers(self) -> int:
        """Return the number of blocks."""
        ...

    @property
    def heads(self) -> int:
        """Return the attention heads."""
        ...

    @property
    def kv_heads(self) -> int:
        """Return the key and value heads."""
        ...

    @property
    def mlp(self) -> int:
        """Return the width of the MLP."""
        ...

    @property
    def vocab(self) -> int:
        """Return the size of the vocabulary."""
        ...

    @property
    def context(self) -> int:
        """Return the positions that it was trained for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The cost of one prompt: a plan's tokens and `text_tokens` more, read once by the language model.

    sequence: positions read. context_share: the plan's tokens over the trained context (1.0 = all of it).
    """

    tiles: int
    visual_tokens: int
    text_tokens: int
    sequence: int
    encoder_flops: int
    projector_flops: int
    prefill_flops: int
    kv_cache_bytes: int
    context_share: float

    @property
    def flops(self) -> int:
        """Return the FLOPs of encoder, projector and prefill together."""
        return self.encoder_flops + self.projector_flops + self.prefill_flops


def price(
    plan: VisualPlan,
    encoder: EncoderSizes,
    projector: ProjectorSizes,
    llm: LlmSizes,
    text_tokens: int = 0,
    bytes_per_value: int = 2,
    project_packed: bool = False,
) -> Price:
    """Return what one prompt with this plan and `text_tokens` positions of text costs.

    project_packed: the projector sees the packed tokens only (pooling before the projector), not all patches.
    """
    patches = plan.num_tokens - plan.num_ends if project_packed else plan.num_tiles * plan.tile.tok**2
    sequence = plan.num_tokens + text_tokens
    return Price(
        tiles=plan.num_tiles,
        visual_tokens=plan.num_tokens,
        text_tokens=text_tokens,
        sequence=sequence,
        encoder_flops=encoder_flops(encoder, plan.num_tiles),
        projector_flops=projector_flops(projector, patches),
        prefill_flops=prefill_flops(llm, sequence),
        kv_cache_bytes=kv_cache_bytes(llm, sequence, bytes_per_value),
        context_share=plan.num_tokens / llm.context,
    )


def encoder_flops(encoder: EncoderSizes, tiles: int) -> int:
    """Return tiles * (n * (8 P d^2 + 2 k P d m + 4 P^2 d) + 2 p d * 3 patch_px^2), and a second tower's on top.

    n: only the blocks whose output is read, so one fewer than the tower has at layer -2. k: matrices of the MLP. With
    k = 2 and m = 4 d a block is 24 P d^2 + 4 P^2 d, the usual count for a ViT (Kaplan et al. 2020, arXiv:2001.08361,
    table 1, with full attention).
    """
    patches = encoder.tile.tok**2
    tokens = patches + encoder.prefix_tokens
    dim = encoder.dim
    mlp = 2 * encoder.mlp_maps * tokens * dim * encoder.mlp
    block = 8 * tokens * dim**2 + mlp + 4 * tokens**2 * dim
    embed = 2 * patches * dim * 3 * encoder.patch_px**2
    second = 0 if encoder.second is None else encoder_flops(encoder.second, tiles)
    return tiles * (encoder.blocks_run * block + embed) + second


def projector_flops(projector: ProjectorSizes, patches: int) -> int:
    """Return 2 T w for matrices of w weights, over T patches."""
    return 2 * patches * projector.matrix_weights


def prefill_flops(llm: LlmSizes, sequence: int) -> int:
    """Return n * (2 S (2 h a + 2 h k + 3 h m) + 4 S^2 a) + 2 h V: every position read once, logits of the last one.

    The attention term counts the full square; a kernel that skips the masked half needs 2 S^2 a.
    """
    attention = 4 * sequence**2 * _query_dim(llm)
    return llm.layers * (2 * sequence * _block_weights(llm) + attention) + 2 * llm.hidden * llm.vocab


def decode_flops(llm: LlmSizes, context: int) -> int:
    """Return the FLOPs of one more token after `context` positions: n * (2 weights + 4 (S + 1) a) + 2 h V."""
    attention = 4 * (context + 1) * _query_dim(llm)
    return llm.layers * (2 * _block_weights(llm) + attention) + 2 * llm.hidden * llm.vocab


def kv_cache_bytes(llm: LlmSizes, sequence: int, bytes_per_value: int = 2) -> int:
    """Return 2 n k S bytes_per_value: keys and values of every block for S positions."""
    return 2 * llm.layers * _key_dim(llm) * sequence * bytes_per_value


def _block_weights(llm: LlmSizes) -> int:
    attention = 2 * llm.hidden * _query_dim(llm) + 2 * llm.hidden * _key_dim(llm)
    return attention + 3 * llm.hidden * llm.mlp


def _query_dim(llm: LlmSizes) -> int:
    return llm.heads * (llm.hidden // llm.heads)


def _key_dim(llm: LlmSizes) -> int:
    return llm.kv_heads * (llm.hidden // llm.heads)
