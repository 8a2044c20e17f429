"""What each command's configuration holds, as frozen dataclasses; conf.build makes them from composed YAML."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from anyres.grid import GridSpec
from anyres.picture import PixelMode
from evals.ablation.axes import Ablation
from evals.ablation.wiring import Wiring
from evals.alarm import AlarmSpec
from evals.controls import NO_CONTROL, Control
from evals.predict import Batching
from evals.trackers import TrackerName
from models.encoders.spec import EncoderSpec
from models.llms.rope import RopeType
from models.serve.openai.limits import Limits
from models.spec import LlmSpec, ModelSpec, ProjectorSpec
from models.training.stage import StageSpec
from video.clip import VideoSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorChoice:
    """A kind of projector; its widths follow from the encoder and the language model."""

    kind: str

    def spec(self, encoder: EncoderSpec, llm: LlmSpec) -> ProjectorSpec:
        """Return the projector between these two."""
        return ProjectorSpec(kind=self.kind, dim_in=encoder.width, dim_out=llm.hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """What a model preset says beyond its parts; see ModelSpec for the fields that are its own too.

    weights: a name or folder for models.build.load, or None. notes: by topic, where publications and released code
    differ, and what this preset follows; None for a topic that is no longer true of a preset that inherits it.
    """

    name: str
    template: str
    dtype: Literal["float32", "float16", "bfloat16"]
    weights: str | None = None
    rope_factor: float = 1.0
    rope_type: RopeType = "linear"
    tokenization: Literal["official", "transformers"] = "official"
    several: Literal["grid", "pad"] = "grid"
    around: tuple[str, str] = ("", "")
    times: bool = False
    notes: dict[str, str | None] = field(default_factory=dict)

    def spec(
        self, encoder: EncoderSpec, projector: ProjectorChoice, llm: LlmSpec, grid: GridSpec, video: VideoSpec
    ) -> ModelSpec:
        """Return the model that these parts make up under this preset."""
        return ModelSpec(
            name=self.name,
            encoder=encoder,
            projector=projector.spec(encoder, llm),
            llm=llm,
            grid=grid,
            video=video,
            template=self.template,
            tokenization=self.tokenization,
            several=self.several,
            around=self.around,
            times=self.times,
            rope_factor=self.rope_factor,
            rope_type=self.rope_type,
            dtype=self.dtype,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """anyres-plan: a model's parts, the positions of text to assume, how inputs share a prompt, and a file to draw to.

    together: plan all inputs as one prompt. budget: the most visual tokens of that prompt, or None; implies together.
    fewer_frames: clips give frames to the budget too. rope_factor: None to tell what is needed; a number is the context
    to plan for, and a plan beyond it an error. most_frames: as many frames as that context holds, not video.num_frames.
    """

    encoder: EncoderSpec
    projector: ProjectorChoice
    llm: LlmSpec
    grid: GridSpec
    video: VideoSpec
    model: ModelChoice
    text_tokens: int
    together: bool
    budget: int | None
    draw: str | None
    rope_factor: float | None = None
    most_frames: bool = False
    fewer_frames: bool = False

    def __post_init__(self) -> None:
        if self.text_tokens < 0:
            raise ValueError(f"text_tokens: expected at least 0, got {self.text_tokens}")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget: expected at least 1 token, or null for none, got {self.budget}")
        if self.rope_factor is not None and not self.rope_factor >= 1:
            raise ValueError(f"rope_factor: expected at least 1, or null for what is needed, got {self.rope_factor}")

    @property
    def spec(self) -> ModelSpec:
        """Return the model that the parts make up, with the RoPE factor to plan for."""
        spec = self.model.spec(self.encoder, self.projector, self.llm, self.grid, self.video)
        return spec if self.rope_factor is None else replace(spec, rope_factor=self.rope_factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskConfig:
    """anyres-ask: a model, how media are looked at, and how answers are written.

    source: "pocket" or a checkpoint folder. grid, video: settings that replace the model's own, whole or by key; None
    for its own. rope_factor: "auto" for what the prompt needs. rope_type: None for the checkpoint's own. times: None:
    as the model was trained; "released": with the times that its data told. budget: the most tokens of a prompt, or
    None; fewer_frames: clips give frames to it too. most_frames: as many frames as the context holds. stop: strings
    that end an answer.
    """

    source: str
    device: str
    rope_factor: float | Literal["auto"]
    reader: Literal["auto", "pyav", "torchcodec", "decord"]
    history: bool
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    times: bool | Literal["released"] | None = None
    budget: int | None = None
    rope_type: RopeType | None = None
    most_frames: bool = False
    fewer_frames: bool = False
    stop: tuple[str, ...] = ()
    pixels: PixelMode = "exact"
    grid: dict[str, Any] | None = None
    video: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens: expected at least 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature: expected at least 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected more than 0 and at most 1, got {self.top_p}")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget: expected at least 1 token, or null for none, got {self.budget}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """anyres-serve: a model, how media are looked at, where it listens, and what a request may ask for.

    source, grid, video, times, budget: as AskConfig has them. name: what clients call the model, or None for its own.
    host: an address; port 0: a free one. hosts: further names that requests may be sent to. key_env: the variable that
    holds the key clients must show. files: a folder of which file:// URLs are read. shutdown_s: for running answers.
    """

    source: str
    device: str
    rope_factor: float | None
    host: str
    port: int
    max_new_tokens: int
    temperature: float
    system: Literal["refuse", "prefix"]
    limits: Limits
    shutdown_s: int
    name: str | None = None
    hosts: tuple[str, ...] = ()
    key_env: str | None = None
    files: str | None = None
    times: bool | Literal["released"] | None = None
    budget: int | None = None
    rope_type: RopeType | None = None
    grid: dict[str, Any] | None = None
    video: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port: expected 0 to 65535, got {self.port}")
        if not 1 <= self.max_new_tokens <= self.limits.max_tokens:
            raise ValueError(f"max_new_tokens: expected 1 to {self.limits.max_tokens}, got {self.max_new_tokens}")
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature: expected 0 to 2, got {self.temperature}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """anyres-eval: a task with its settings, a model, how media are looked at, and where the run is kept.

    source: "pocket" or a checkpoint folder. grid, video: settings that replace the model's own, whole or by key; None
    for its own. out: the run's folder, or None for one named for the settings. steps: what to do, of what is not done
    yet. rope_factor: None for the checkpoint's own, "auto" for what one clip or image may need by these settings;
    rope_type: None for its own. most_frames: as many frames as the context holds. doctor: look at the task's files
    instead. choices: answered in writing, or by the likelihood of each option. judge: of a task that needs one, or
    None. engine: an endpoint in place of a model, or None. decoders: processes that decode files, None for as many as
    pays. tracker: where results are also sent.
    """

    task: dict[str, Any]
    source: str
    device: str
    dtype: Literal["float32", "float16", "bfloat16"] | None
    rope_factor: float | Literal["auto"] | None
    reader: Literal["auto", "pyav", "torchcodec", "decord"]
    out: str | None
    limit: int | None
    blind: bool
    max_failed: float
    batch: Batching
    steps: Literal["all", "predict", "judge", "score"] = "all"
    doctor: bool = False
    rope_type: RopeType | None = None
    most_frames: bool = False
    workers: int = 1
    decoders: int | None = None
    retry_failed: bool = False
    alarm: AlarmSpec | None = None
    choices: Literal["written", "total", "per_token"] = "written"
    judge: dict[str, Any] | None = None
    tracker: TrackerName = "none"
    engine: dict[str, Any] | None = None
    pixels: PixelMode = "exact"
    grid: dict[str, Any] | None = None
    video: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: expected at least 1, got {self.limit}")
        if self.workers < 1:
            raise ValueError(f"workers: expected at least 1, got {self.workers}")
        if self.decoders is not None and self.decoders < 0:
            raise ValueError(f"decoders: expected at least 0, or null, got {self.decoders}")
        if not 0 <= self.max_failed <= 1:
            raise ValueError(f"max_failed: expected a share between 0 and 1, got {self.max_failed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateConfig:
    """anyres-ablate: a sweep, a task with its settings, a model, and what the axes of the sweep may set.

    source: "pocket", a checkpoint folder, or for plan_only a preset. grid, video: settings that replace the model's
    own, whole or by key. encoder, llm: parts that replace a preset's; None for its own. beyond_context: read prompts
    longer than the trained context. control: what is taken away from media. times: announce clips with their times;
    None: as the model was trained. rope_type: of rope_factor, None for the checkpoint's own. second_end: what closes
    fast frames where a model has one end vector. blind: ask with other media too, at every setting or once a task.
    text_tokens: positions of text assumed when only planning. tflops: what the device sustains, for an estimate of
    time; "measure" for what its matrix products reach now. tracker: where results are also sent.
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
    times: bool | Literal["released"] | None = None
    rope_type: RopeType | None = None
    second_end: Literal["none", "first"] = "none"
    tracker: TrackerName = "none"
    pixels: Literal["exact", "fast"] = "exact"
    grid: dict[str, Any] | None = None
    video: dict[str, Any] | None = None
    encoder: EncoderSpec | None = None
    llm: LlmSpec | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: expected at least 1, got {self.limit}")
        if self.timed < 0:
            raise ValueError(f"timed: expected at least 0 samples, got {self.timed}")
        if self.text_tokens < 0:
            raise ValueError(f"text_tokens: expected at least 0, got {self.text_tokens}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSweep:
    """One sweep of the demo: its title, what anyres-ablate gets on its command line, what the report says first."""

    title: str
    overrides: tuple[str, ...]
    intro: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """make demo: the model, the folder of the report, and the sweeps by the names of their tables.

    pages, clips, blind, blind_clips: how much is asked; the sweeps' overrides use them. parallel: a
    process for each sweep.
    """

    source: str
    out: str
    title: str
    pages: int
    clips: int
    blind: bool | Literal["once"]
    blind_clips: bool | Literal["once"]
    parallel: bool
    sweeps: dict[str, DemoSweep]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """anyres-train: a recipe that makes a model from random weights, or one stage on a user's conversations.

    recipe: the settings of a recipe, or None. stage, source, data, media, out: a stage, the model it starts from, the
    JSON file, the folder its file names are relative to, and the folder to write. labels: what a stage learns of a
    conversation (models.prompt.labels). The parts describe a recipe's model.
    """

    recipe: dict[str, Any] | None = None
    source: str | None
    data: str | None
    media: str
    out: str | None
    device: str
    labels: Literal["answers", "released", "released_old"] = "answers"
    stage: StageSpec | None = None
    encoder: EncoderSpec | None = None
    projector: ProjectorChoice | None = None
    llm: LlmSpec | None = None
    grid: GridSpec | None = None
    video: VideoSpec | None = None
    model: ModelChoice | None = None
    text_tokens: int | None = None

    @property
    def spec(self) -> ModelSpec:
        """Return the model that the parts make up; ValueError where one is missing."""
        parts = (self.encoder, self.projector, self.llm, self.grid, self.video, self.model)
        encoder, projector, llm, grid, video, model = parts
        if not (encoder and projector and llm and grid and video and model):
            raise ValueError("a recipe needs encoder, projector, llm, grid, video and model; model=NAME sets them all")
        return model.spec(encoder, projector, llm, grid, video)
