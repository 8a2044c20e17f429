"""How many parameters a model has, from its sizes alone. Integers, no torch.

Counted as published totals count: a CLIP tower whole, a SigLIP tower without pooling head and without the blocks that
nobody reads; learned end vectors are left out. Legend of the formulas: d width, m width of the MLP, h hidden, a = heads
* head size, k = key-value heads * head size, p patches of a tile, V vocabulary.
"""

from dataclasses import dataclass

from models.encoders.spec import EncoderSpec
from models.projectors.kinds import parts_of
from models.spec import LlmSpec, ModelSpec, ProjectorSpec

# decoders with RMS norms and gated MLPs: biases of queries, keys and values
QKV_BIAS = {"llama": 0, "mistral": 0, "qwen2": 1}
# towers that are counted: with a class token, CLIP's; without, SigLIP's
COUNTED = ("hf_clip", "hf_siglip", "hf_siglip2", "open_clip")


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
    """Return n (4 d^2 + 2 d m + m + 9 d) + 3 d patch_px^2 + positions d + the rest; None for another backend.

    CLIP: n all blocks, positions p + 1, rest 5 d (class token, two layer norms). SigLIP: n the blocks that are read,
    positions p, rest 3 d (bias of the patches, one layer norm). open_clip's towers of the same kinds count the same.
    Two towers are added.
    """
    if encoder.backend not in COUNTED:
        return None
    has_class = encoder.prefix_tokens == 1
    blocks = encoder.layers if has_class else encoder.blocks_run
    block = 4 * encoder.dim**2 + 2 * encoder.dim * encoder.mlp + encoder.mlp + 9 * encoder.dim
    patches = 3 * encoder.dim * encoder.patch_px**2
    positions = ((encoder.position_px // encoder.patch_px) ** 2 + encoder.prefix_tokens) * encoder.dim
    own = blocks * block + patches + positions + (5 if has_class else 3) * encoder.dim
    if encoder.second is None:
        return own
    second = encoder_parameters(encoder.second)
    return None if second is None else own + second


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
