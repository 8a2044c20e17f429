"""The configuration of anyres-ablate."""

from dataclasses import dataclass, field
from typing import Any, Literal

from anyres.checksums import KnownMedia
from anyres.picture import Resample, check_resample
from evals.ablation.axes import Ablation
from evals.ablation.wiring import Wiring
from evals.controls import NO_CONTROL, Control
from evals.predict import Batching
from evals.trackers import TrackerName
from models.compute import Compute, Reading
from models.encoders.spec import EncoderSpec
from models.llms.rope import RopeType
from models.spec import LlmSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateConfig:
    """anyres-ablate: a sweep, a task with its settings, a model, and what the axes of the sweep may set.

    source: "pocket", a checkpoint folder, or for plan_only a preset. grid, video: settings that replace the model's
    own, whole or by key. encoder, llm: parts that replace a preset's; None for its own. beyond_context: read prompts
    longer than the trained context. control: what is taken away from media. times: announce clips with their times;
    None: as the model was trained. rope_type: of rope_factor, None for the checkpoint's own. second_end: what closes
    fast frames where a model has one end vector. blind: ask with other media too, at every setting or once a task.
    resize: by which weights pixels are resized. layer, tile_px: the encoder's hidden state and the side of its tiles,
    None: as trained. exact: no answer depends on its batch; None: where a model computes in half precision.
    clip_tokens: the most visual tokens of a clip, by fewer frames. text_tokens: positions of text assumed when only
    planning. tflops: what the device sustains, for an estimate of time; "measure" for what its matrix products reach
    now. hourly: what an hour of the device costs, in any currency. tracker: where results are also sent. media:
    checksums that files are compared with.
    """

    ablation: Ablation
    task: dict[str, Any]
    source: str
    device: str
    dtype: Literal["float32", "float16", "bfloat16"] | None
    rope_factor: float | None
    beyond_context: bool
    wiring: Wiring
    reader: Literal["auto", "pyav", "torchcodec", "decord"]
    out: str | None
    limit: int | None
    blind: bool | Literal["once"]
    plan_only: bool
    timed: int
    text_tokens: int
    cache_mib: int
    cache_folder: str | None
    cache_disk_mib: int | None
    batch: Batching
    control: Control = NO_CONTROL
    tflops: float | Literal["measure"] | None = None
    hourly: float | None = None
    times: bool | Literal["released"] | None = None
    rope_type: RopeType | None = None
    clip_tokens: int | None = None
    layer: int | None = None
    tile_px: int | None = None
    second_end: Literal["none", "first"] = "none"
    tracker: TrackerName = "none"
    pixels: Literal["exact", "fast"] = "exact"
    resize: Resample = "bicubic"
    exact: bool | None = None
    compute: Compute = field(default_factory=Compute)
    media: KnownMedia = field(default_factory=KnownMedia)
    grid: dict[str, Any] | None = None
    video: dict[str, Any] | None = None
    encoder: EncoderSpec | None = None
    llm: LlmSpec | None = None

    def __post_init__(self) -> None:
        check_resample(self.resize, self.pixels)
        if self.compute.reading != Reading():
            raise ValueError("compute.reading: a sweep reads beginnings that prompts share once, and no pieces")
        if self.compute.encoding.autocast is not None and self.cache_folder is not None:
            raise ValueError("compute.encoding.autocast: a cache_folder keeps features of the weights' own precision")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: expected at least 1, got {self.limit}")
        if self.timed < 0:
            raise ValueError(f"timed: expected at least 0 samples, got {self.timed}")
        if self.hourly is not None and self.hourly < 0:
            raise ValueError(f"hourly: expected a price of at least 0, got {self.hourly}")
        if self.text_tokens < 0:
            raise ValueError(f"text_tokens: expected at least 0, got {self.text_tokens}")
