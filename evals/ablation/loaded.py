"""The model of a sweep: loaded once, its encoder shared and remembering every tile, whatever the points change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from anyres.cost import encoder_flops, prefill_flops, projector_flops
from anyres.limits import LIMITS, MediaLimits
from anyres.picture import PixelMode, Resample
from evals.ablation.controlled import ControlledAnswerer
from evals.ablation.cost import Cost
from evals.ablation.drawn import DrawnCanvases
from evals.ablation.loading import Loading
from evals.ablation.planner import Setting
from evals.ablation.provenance import git_commit, machine
from evals.ablation.rewired import RewiredAnswerer
from evals.ablation.together import ReadCounts, Together
from evals.answerer import LmmAnswerer, rounds, weight_facts
from evals.controls import NO_CONTROL
from evals.fingerprint import fingerprint
from evals.media.looking import Looking
from evals.predict import Answerer
from evals.result import Prediction
from evals.run import versions
from evals.store.feature_cache import CacheCounts, CachedEncoder, identity
from evals.store.ledger import Config
from models.build import load
from models.checkpoints.save import DTYPES
from models.compute import Compute
from models.feature_store import FeatureStore
from models.llms.rotary import is_fixed
from models.lmm import LMM
from models.processor import Processor
from video.reader import Backend

MIB = 1 << 20


class LoadedModels:
    """Answerers by setting. A setting's `weights` is a source for models.build.load.

    One language model is held at a time: another source, RoPE factor, dtype, layer or tile loads anew, and keeps the
    encoder (with its memory of tiles) where its spec and weights are the same. dtype: where a setting has none.
    exact: whether no answer may depend on its batch, None: where a model computes in half precision. limits: of media.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        reader: Backend = "auto",
        cache_mib: int = 1024,
        cache_folder: Path | None = None,
        positions: int = 32768,
        disk_mib: int | None = None,
        second_end: bool = False,
        pixels: PixelMode = "exact",
        exact: bool | None = None,
        compute: Compute | None = None,
        limits: MediaLimits = LIMITS,
    ) -> None:
        self.device, self.dtype, self.reader = device, dtype, reader
        self.limits = limits
        self.cache_mib, self.cache_folder, self.positions = cache_mib, cache_folder, positions
        self.disk_bytes = None if disk_mib is None else disk_mib * MIB
        self._store = None if cache_folder is None else FeatureStore(cache_folder, self.disk_bytes)
        self.reading, self.second_end = ReadCounts(), second_end
        self.loads = 0
        self._encoders: dict[str, CachedEncoder] = {}
        self._sources: dict[str, str] = {}
        self._key: Loading | None = None
        self._loaded: tuple[LMM, Processor] | None = None
        self._engine: Together | None = None
        self._weights: Config = {}
        self.pixels, self.exact, self.compute = pixels, exact, compute
        self._drawn: dict[Resample, DrawnCanvases] = {}

    def answerer(self, setting: Setting) -> Answerer:
        """Return what answers at a setting, loading its model when another one is held."""
        return self._answerer(setting, self.exact)

    def alone(self, setting: Setting) -> Answerer | None:
        """Return what answers alone at a setting whose answers are computed together and depend on it; else None."""
        model, _ = self.model(setting.model)
        return None if self._is_exact(model) or not rounds(model) else self._answerer(setting, exact=True)

    def _is_exact(self, model: LMM) -> bool:
        return rounds(model) if self.exact is None else self.exact

    def _answerer(self, setting: Setting, exact: bool | None) -> Answerer:
        model, processor = self.model(setting.model)
        # the setting's context may be wider than the weights': to read beyond the trained length on purpose
        context = replace(processor.spec.llm, context=setting.spec.llm.context)
        seen = {"grid": setting.spec.grid, "several": setting.spec.several, "times": setting.spec.times}
        wide = replace(processor.spec, llm=context, **seen)
        if setting.spec.video.slow_every is not None and len(model.ends_KD) < 2:
            raise ValueError(
                f"video.slow_every: {setting.weights} has one end vector and SlowFast needs two; second_end=first "
                "closes fast frames with the first one"
            )
        resample = setting.resample
        drawn = self._drawn.setdefault(resample, DrawnCanvases(pixels=self.pixels, resample=resample))
        own = Processor(wide, processor.tokenizer, draw=drawn, pixels=self.pixels, resample=resample)
        looking = self._looking(model, own, setting)
        inner = LmmAnswerer(model, own, looking, weights=self._weights, exact=exact)
        wired = inner if setting.wiring == "none" else RewiredAnswerer(inner, setting.wiring)
        return wired if setting.control == NO_CONTROL else ControlledAnswerer(wired, setting.control)

    def _looking(self, model: LMM, processor: Processor, setting: Setting) -> Looking:
        """Return how media are opened; what is changed once it is read is read whole."""
        return Looking(
            model,
            processor,
            video=setting.spec.video,
            reader=self.reader,
            whole=setting.control != NO_CONTROL or setting.wiring != "none",
            store=self._store,
            limits=self.limits,
        )

    def engine(self, setting: Setting) -> Together | None:
        """Return what answers all settings of the model that `setting` has; None where each question is read alone."""
        model, processor = self.model(setting.model)
        if self._is_exact(model):
            return None
        if not is_fixed(model.llm):
            raise ValueError(
                "rope_type: a sweep reads beginnings that prompts share once, and a dynamic base reads them by each "
                "prompt's length; expected linear or yarn"
            )
        if self._engine is None or self._engine.model is not model:
            self._engine = Together(model, processor, self.positions, self.reading)
        return self._engine

    def model(self, wanted: Loading) -> tuple[LMM, Processor]:
        """Return a model, loaded as is wanted, with its processor."""
        if self._loaded is None or self._key != wanted:
            self._loaded = self._engine = None
            model, processor = load(
                wanted.source,
                device=self.device,
                dtype=self.dtype if wanted.dtype is None else DTYPES[wanted.dtype],
                rope_factor=wanted.rope_factor,
                rope_type=wanted.rope_type,
                layer=wanted.layer,
                tile_px=wanted.tile_px,
                compute=self.compute,
            )
            self.loads += 1
            if self.second_end and len(model.ends_KD) == 1:
                model.ends_KD = torch.nn.Parameter(model.ends_KD.repeat(2, 1), requires_grad=False)
            self._sources.setdefault(wanted.source, fingerprint(model))
            # equal weights read at another layer or tile give other features
            alone = self._is_exact(model)
            name = identity(processor.spec.encoder, fingerprint(model.encoder), alone)
            if name not in self._encoders:
                self._encoders[name] = CachedEncoder(
                    model.encoder,
                    processor.spec.encoder,
                    self.cache_mib * MIB,
                    self.cache_folder,
                    self.disk_bytes,
                    alone,
                )
            model.encoder = self._encoders[name]
            self._weights = weight_facts(model)
            self._key, self._loaded = wanted, (model, processor)
        return self._loaded

    def record(self) -> dict[str, str]:
        """Return what a report tells of the models: sources, digests, versions, tiles, machine and commit."""
        tiles = self.tiles
        store = tiles.store
        told = {
            "model": ", ".join(self._sources),
            "weights": ", ".join(f"{name} {digest}" for name, digest in self._sources.items()),
            "device": f"{self.device}, {machine()}",
            "tiles": f"{tiles.tiles_asked} asked for, {tiles.tiles_computed} encoded",
            "positions": f"{self.reading.asked} asked for, {self.reading.read} read",
            "feature files": ", ".join(
                f"{count} {name}"
                for name, count in (
                    ("read", store.hits),
                    ("written", store.written),
                    ("damaged", store.damaged),
                    ("removed", store.removed),
                )
            ),
            "versions": ", ".join(f"{name} {found}" for name, found in versions().items()),
        }
        commit = git_commit()
        return {**told, "commit": commit} if commit else told

    @property
    def tiles(self) -> CacheCounts:
        """Return how many tiles were asked for and computed, over all encoders."""
        total = CacheCounts()
        for encoder in self._encoders.values():
            total.calls += encoder.counts.calls
            total.tiles_asked += encoder.counts.tiles_asked
            total.encoder_calls += encoder.counts.encoder_calls
            total.tiles_computed += encoder.counts.tiles_computed
            total.store = total.store.plus(encoder.counts.store)
        return total


def flops_of(setting: Setting) -> Callable[[Prediction], Cost]:
    """Return a function from a prediction to its cost: encoder, projector and prefill, nothing shared.

    Its features are counted as the encoder's, in the model's own dtype.
    """
    spec = setting.spec
    size = 4 if spec.dtype == "float32" else 2

    def cost(prediction: Prediction) -> Cost:
        patches = prediction.tiles * spec.encoder.tile.tok**2
        sequence = prediction.visual_tokens + prediction.text_tokens
        return Cost(
            encoder_flops=encoder_flops(spec.encoder, prediction.tiles),
            llm_flops=projector_flops(spec.projector, patches) + prefill_flops(spec.llm, sequence),
            feature_bytes=patches * spec.encoder.width * size,
            seen_px=prediction.tiles * spec.encoder.tile_px**2,
        )

    return cost
