"""The configuration of anyres-ask."""

from dataclasses import dataclass, field
from typing import Any, Literal

from anyres.checksums import KnownMedia
from anyres.picture import PixelMode
from models.compute import Compute
from models.llms.rope import RopeType


@dataclass(frozen=True, slots=True, kw_only=True)
class AskConfig:
    """anyres-ask: a model, how media are looked at, and how answers are written.

    source: "pocket" or a checkpoint folder. grid, video: settings that replace the model's own, whole or by key; None
    for its own. rope_factor: "auto" for what the prompt needs. rope_type: None for the checkpoint's own. times: None:
    as the model was trained; "released": with the times that its data told. budget: the most tokens of a prompt, or
    None; fewer_frames: clips give frames to it too. most_frames: as many frames as the context holds. stop: strings
    that end an answer. stream_frames: clips of more frames are encoded piece by piece, None: none is; cache_folder:
    keeps the tokens of clips, or None. media: checksums that files are compared with.
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
    stream_frames: int | None = 256
    cache_folder: str | None = None
    compute: Compute = field(default_factory=Compute)
    media: KnownMedia = field(default_factory=KnownMedia)
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
        if self.stream_frames is not None and self.stream_frames < 0:
            raise ValueError(f"stream_frames: expected at least 0 frames, or null, got {self.stream_frames}")
