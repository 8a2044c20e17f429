"""How many parameters a model has, from its sizes alone. Integers, no torch.

Counted as published totals count: a CLIP tower whole, a SigLIP tower without pooling head and without the blocks that
nobody reads; learned end vectors are left out. Legend of the formulas: h hidden, m width of the MLP, a = heads * head
size, k = key-value heads * head size, n blocks, V vocabulary.
"""

from dataclasses import dataclass, replace

from models.encoders.count import parameters
from models.encoders.spec import EncoderSpec
from models.projectors.kinds import parts_of
from models.spec import LlmSpec, ModelSpec, ProjectorSpec

# decoders with RMS norms and gated MLPs: biases of queries, keys and values
QKV_BIAS = {"llama": 0, "mistral": 0, "qwen2": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Parameters of the three parts; None for a part whose formula is not known here."""

    encoder: int | None
    projector: int
    llm: int | None

    @property
    def total(self) -> int | None:
        """Return all of them, or None when a part is not known."""
        return None if self.encoder is None or self.llm is None else self.encoder + self.projector + self.llm


def count(spec: ModelSpec) -> Parameters:
    """Return the parameters of a model's parts."""
    return Parameters(
        encoder=encoder_parameters(spec.encoder),
        projector=projector_parameters(spec.projector),
        llm=llm_parameters(spec.llm),
    )


def encoder_parameters(encoder: EncoderSpec) -> int | None:
    """Return a tower's parameters, without the blocks behind the one that is read unless it has a class token.

    Published totals count so: the released SigLIP towers were cut, the CLIP towers were not. None for a tower whose
    formula is not known here.
    """
    return parameters(_as_published(encoder))


def _as_published(encoder: EncoderSpec) -> EncoderSpec:
    second = None if encoder.second is None else _as_published(encoder.second)
    if encoder.prefix_tokens or encoder.blocks_run == 0:
        return replace(encoder, second=second)
    return replace(encoder, layers=encoder.blocks_run, layer=-1, second=second)


def projector_parameters(projector: ProjectorSpec) -> int:
    """Return its matrices' weights, a bias for each of their rows, and 2 h for the norm of each residual block."""
    parts = parts_of(projector.kind)
    rows = (min(parts.linears, 1) + parts.square) * projector.dim_out
    return projector.matrix_weights + rows + 2 * parts.residuals * projector.dim_out


def llm_parameters(llm: LlmSpec) -> int | None:
    """Return n (2 h a + 2 h k + 3 h m + 2 h + biases) + h + V h, twice V h when not tied; None for another kind."""
    if llm.kind not in QKV_BIAS:
        return None
    head = llm.hidden // llm.heads
    wide, narrow = llm.heads * head, llm.kv_heads * head
    bias = QKV_BIAS[llm.kind] * (wide + 2 * narrow)
    block = 2 * llm.hidden * (wide + narrow) + bias + 3 * llm.hidden * llm.mlp + 2 * llm.hidden
    return llm.layers * block + llm.vocab * llm.hidden * (1 if llm.tied else 2) + llm.hidden
