"""Plan every sample of a sweep at every point, and tell which plans are equal.

Integers only: no pixels, no weights. Prices are made of the plans, and the runner answers equal ones once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.picture import Resample
from anyres.plan import VisualPlan, plan_image
from evals.ablation.loading import Dtype, Loading
from evals.ablation.wiring import Wiring
from evals.controls import NO_CONTROL, Control
from models.spec import ModelSpec
from video.clip import ClipMeta
from video.plan import plan_clip
from video.sampling import sample as sample_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One point of a sweep as the model sees it. `weights` names them: two settings share answers only when equal.

    dtype: of the weights in memory, None: what the device asks for. resample: by which weights pixels are resized.
    """

    name: str
    spec: ModelSpec
    weights: str = ""
    wiring: Wiring = "none"
    control: Control = NO_CONTROL
    dtype: Dtype | None = None
    resample: Resample = "bicubic"

    def grid(self, alone: bool) -> GridSpec:
        """Return how an image is planned that is the only one of its prompt, or one of several."""
        return self.spec.grid_among(1 if alone else 2)

    @property
    def model(self) -> Loading:
        """Return what settings of one loaded model have in common."""
        spec = self.spec
        return Loading(
            source=self.weights,
            rope_factor=spec.rope_factor,
            rope_type=spec.rope_type,
            dtype=self.dtype,
            layer=spec.encoder.layer,
            tile_px=spec.encoder.tile_px,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedMedium:
    """A medium's identity and size: HW of an image in pixels, the header of a clip."""

    key: str
    size: HW | ClipMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedSample:
    """A sample reduced to what a plan depends on, and the positions that its text takes."""

    id: str
    media: tuple[SizedMedium, ...]
    text_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMedium:
    """The plan of a medium and the frame of the file that each frame of the plan is (a single 0 for an image)."""

    plan: VisualPlan
    indices: tuple[int, ...]


class Planner:
    """Plans of sized media under settings, each distinct size planned once."""

    def __init__(self) -> None:
        self._plans: dict[tuple[object, ...], PlannedMedium] = {}
        self._digests: dict[tuple[object, ...], str] = {}
        self._ways: dict[Hashable, int] = {}
        self._numbers: dict[Hashable, int] = {}
        # with the setting, so that its id is never given to another one
        self._ways_of: dict[tuple[int, bool], tuple[Setting, int, int]] = {}

    def plans(self, sample: SizedSample, setting: Setting) -> list[PlannedMedium]:
        """Return the plans of media that share a prompt; ValueError where the setting does not allow one."""
        alone = _num_images(sample, setting) <= 1
        return [self._planned(medium.size, setting, alone) for medium in sample.media]

    def _planned(self, size: HW | ClipMeta, setting: Setting, alone: bool) -> PlannedMedium:
        key = (size, self._way(size, setting, alone))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = _plan(size, setting, alone)
        return found

    def _way(self, size: HW | ClipMeta, setting: Setting, alone: bool) -> int:
        """Return a number that two settings share only where they plan media like this one alike."""
        known = self._ways_of.get((id(setting), alone))
        if known is None:
            tile, video, control = setting.spec.encoder.tile, setting.spec.video, setting.control
            # hashing a grid takes longer than planning by it, so once a setting
            of_image = self._ways.setdefault((tile, setting.grid(alone), control), len(self._ways))
            framed = None if video.frames_as == "clip" else (setting.spec.grid, setting.grid(alone))
            of_clip = self._ways.setdefault((tile, video, framed, control), len(self._ways))
            known = self._ways_of[id(setting), alone] = (setting, of_image, of_clip)
        return known[1] if isinstance(size, HW) else known[2]

    def key(self, sample: SizedSample, setting: Setting) -> str:
        """Return a digest of everything but the prompt that the answer to a sample depends on, for this planner alone.

        Two settings with the same key give the same answer, so one of them need not run.
        """
        parts = [repr(setting.model), setting.wiring, repr(setting.spec.encoder), setting.resample]
        parts.append(str(setting.spec.times))
        for medium, planned in zip(sample.media, self.plans(sample, setting), strict=True):
            changed = setting.control.of("image" if isinstance(medium.size, HW) else "video")
            parts += [repr(pixels_of(medium, setting)), repr(changed), self._digest(medium.size, setting, planned)]
        hasher = hashlib.blake2b(digest_size=16)
        for part in parts:
            # each with its length in front: no two lists of parts give the same bytes
            hasher.update(f"{len(part)}:{part}".encode())
        return hasher.hexdigest()

    def _digest(self, size: HW | ClipMeta, setting: Setting, planned: PlannedMedium) -> str:
        key = (id(planned), setting.spec.video.pool_before_projector)
        if key not in self._digests:
            # `planned` stays in self._plans, so its id is never given to another plan; equal plans have one number
            pooled = setting.spec.video.pool_before_projector if isinstance(size, ClipMeta) else False
            self._digests[key] = str(self._numbers.setdefault((planned, pooled), len(self._numbers)))
        return self._digests[key]


def pixels_of(medium: SizedMedium, setting: Setting) -> Hashable:
    """Return what a medium's decoded pixels depend on, controls aside."""
    if isinstance(medium.size, HW):
        return medium.key
    return medium.key, setting.spec.video.shown(medium.size.size)


def _plan(size: HW | ClipMeta, setting: Setting, alone: bool) -> PlannedMedium:
    spec, control = setting.spec, setting.control
    if isinstance(size, HW):
        return PlannedMedium(plan=plan_image(control.size(size), setting.grid(alone), spec.encoder.tile), indices=(0,))
    shown = _frames(size, setting)
    grid = setting.grid(alone) if spec.video.frames_as == "images" else spec.grid
    decoded = spec.video.shown(size.size)
    plan = plan_clip(control.size(decoded), len(shown), spec.video, spec.encoder.tile, grid)
    return PlannedMedium(plan=plan, indices=shown)


def _frames(clip: ClipMeta, setting: Setting) -> tuple[int, ...]:
    """Return the frames of a clip that are shown."""
    indices = sample_frames(clip, setting.spec.video)
    # the order of shuffled frames changes neither what is encoded nor what it costs
    return setting.control.chosen(indices, "") if setting.control.frames == "single" else tuple(indices)


def _num_images(sample: SizedSample, setting: Setting) -> int:
    """Return how many images share the prompt of a sample, frames that are images among them."""
    images = sum(isinstance(medium.size, HW) for medium in sample.media)
    if setting.spec.video.frames_as != "images":
        return images
    clips = [medium.size for medium in sample.media if isinstance(medium.size, ClipMeta)]
    return images + sum(len(_frames(clip, setting)) for clip in clips)
