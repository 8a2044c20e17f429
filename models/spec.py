"""A whole model as data: enough to plan, to price and to rebuild it."""

from dataclasses import dataclass
from typing import Literal

from anyres.grid import GridSpec
from models.encoders.spec import EncoderSpec
from models.llms.rope import ROPE_TYPES, RopeType
from models.projectors.kinds import parts_of
from video.clip import VideoSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorSpec:
    """The map from encoder width to language model width. kind: see models.projectors.kinds."""

    kind: str
    dim_in: int
    dim_out: int

    def __post_init__(self) -> None:
        parts = parts_of(self.kind)
        if parts.linears == 0 and self.dim_in != self.dim_out:
            raise ValueError(f"projector: the identity maps {self.dim_in} to {self.dim_in}, not to {self.dim_out}")

    @property
    def matrix_weights(self) -> int:
        """Return how many weights its matrices have, which a token is multiplied with."""
        parts = parts_of(self.kind)
        return min(parts.linears, 1) * self.dim_in * self.dim_out + parts.square * self.dim_out**2


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
    rope_factor, rope_type: position scaling set before the LLM is built. dtype: of the stored weights.
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
    rope_type: RopeType = "linear"
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.rope_type not in ROPE_TYPES:
            raise ValueError(f"rope_type: expected one of {', '.join(ROPE_TYPES)}, got {self.rope_type!r}")

    def grid_among(self, images: int) -> GridSpec:
        """Return how an image is planned that is one of `images` in its prompt, clips aside."""
        if images <= 1 or self.several == "grid":
            return self.grid
        return GridSpec(layouts=(), overview="pad", merge=self.grid.merge)

    @property
    def context(self) -> int:
        """Return how many positions the model reads with its RoPE factor."""
        return int(self.llm.context * self.rope_factor)
