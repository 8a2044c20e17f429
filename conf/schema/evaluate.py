"""The configuration of anyres-eval."""

from dataclasses import dataclass, field
from typing import Any, Literal

from anyres.checksums import KnownMedia
from anyres.picture import PixelMode
from evals.alarm import AlarmSpec
from evals.predict import Batching
from evals.trackers import TrackerName
from models.compute import Compute
from models.llms.rope import RopeType


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """anyres-eval: a task with its settings, a model, how media are looked at, and where the run is kept.

    source: "pocket" or a checkpoint folder. grid, video: settings that replace the model's own, whole or by key; None
    for its own. out: the run's folder, or None for one named for the settings. steps: what to do, of what is not done
    yet. rope_factor: None for the checkpoint's own, "auto" for what one clip or image may need by these settings;
    rope_type: None for its own. most_frames: as many frames as the context holds. doctor: look at the task's files
    instead. choices: answered in writing, or by the likelihood of each option. judge: of a task that needs one, or
    None. engine: an endpoint in place of a model, or None. decoders: processes that decode files, None for as many as
    pays. exact: no answer depends on its batch; None: where the model computes in half precision. tracker: where
    results are also sent. media: checksums that files are compared with.
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
    exact: bool | None = None
    stream_frames: int | None = 256
    cache_folder: str | None = None
    cache_disk_mib: int | None = None
    compute: Compute = field(default_factory=Compute)
    media: KnownMedia = field(default_factory=KnownMedia)
    grid: dict[str, Any] | None = None
    video: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: expected at least 1, got {self.limit}")
        if self.workers < 1:
            raise ValueError(f"workers: expected at least 1, got {self.workers}")
        if self.decoders is not None and self.decoders < 0:
            raise ValueError(f"decoders: expected at least 0, or null, got {self.decoders}")
        if self.stream_frames is not None and self.stream_frames < 0:
            raise ValueError(f"stream_frames: expected at least 0 frames, or null, got {self.stream_frames}")
        if self.cache_disk_mib is not None and self.cache_disk_mib < 1:
            raise ValueError(f"cache_disk_mib: expected at least 1, or null for no bound, got {self.cache_disk_mib}")
        if not 0 <= self.max_failed <= 1:
            raise ValueError(f"max_failed: expected a share between 0 and 1, got {self.max_failed}")
