"""A whole model as data: enough to plan, to price and to rebuild it."""

from dataclasses import dataclass
from typing import Literal

from anyres.grid import GridSpec
from models.encoders.spec import EncoderSpec
from video.clip import VideoSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorSpec:
    """The map from encoder width to language model width."""

    kind: Literal["linear", "mlp2x_gelu", "mlp3x_gelu", "mlp4x_gelu"]
    dim_in: int
    dim_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSpec:
    """A decoder's sizes. kind: its transformers model_type. context: the positions it was trained for."""

    kind: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    vocab: int
    context: int
    rope_theta: float
    tied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Encoder, projector, language model, and the plan settings that its release uses.

    template: a name in models.prompt.templates. tokenization: "official" tokenises each piece of text between two media
    on its own, "transformers" the whole text with a special token at each medium. several: how an image is planned that
    shares its prompt with others: by the "grid" as if it were alone, or padded to a square, one view ("pad").
    around: text in front of and behind each medium's tokens, special tokens of LLaVA 1.0 ("<im_start>", "<im_end>").
    times: whether a clip is announced by the text that tells the times of its frames.
    rope_factor: linear position scaling set before the LLM is built. dtype: of the stored weights.
    """

    name: str
    encoder: EncoderSpec
    projector: ProjectorSpec
    llm: LlmSpec
    grid: GridSpec
    video: VideoSpec
    template: str
    tokenization: Literal["official", "transformers"] = "official"
    several: Literal["grid", "pad"] = "grid"
    around: tuple[str, str] = ("", "")
    times: bool = False
    rope_factor: float = 1.0
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    @property
    def context(self) -> int:
        """Return how many positions the model reads with its RoPE factor."""
        return int(self.llm.context * self.rope_factor)
