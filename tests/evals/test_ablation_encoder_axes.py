"""Axes that load a checkpoint otherwise: hidden state, tile, dtype. Each changes what it says; equal points share."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from anyres.geometry import HW
from evals.ablation.axes import Axis
from evals.ablation.loaded import LoadedModels
from evals.ablation.loading import Loading
from evals.ablation.planner import Setting, SizedMedium, SizedSample
from evals.ablation.prices import PricePoint, price_sweep
from evals.ablation.runner import SweepPoint, run_sweep
from evals.store.feature_cache import identity
from evals.tasks.pocket import PocketImage
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor
from models.spec import ModelSpec

Tiny = tuple[LMM, Processor]
PAGES = PocketImage(kinds=("read",), count=3)


@pytest.fixture(scope="module")
def folder(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(path, *tiny)
    return path


def seen(spec: ModelSpec, **how: int) -> ModelSpec:
    return replace(spec, encoder=spec.encoder.seen_at(**how))


def point(name: str, spec: ModelSpec, folder: Path, dtype: str | None = None) -> SweepPoint:
    return SweepPoint(
        setting=Setting(name=name, spec=spec, weights=str(folder), dtype=dtype), folder=name, tasks=(PAGES,)
    )


def features(models: LoadedModels, wanted: Loading, processor: Processor) -> torch.Tensor:
    model, own = models.model(wanted)
    tile_px = own.spec.encoder.tile_px
    pixels_NCHW = torch.randn(2, 3, tile_px, tile_px, generator=torch.Generator().manual_seed(0))
    return model.encode(pixels_NCHW)


def test_a_layer_is_the_hidden_state_of_that_number(tiny: Tiny, folder: Path) -> None:
    processor = tiny[1]
    spec = processor.spec.encoder
    models, asked = LoadedModels(), range(-spec.layers - 1, spec.layers + 1)
    found = {layer: features(models, Loading(source=str(folder), layer=layer), processor) for layer in asked}
    own = features(LoadedModels(), Loading(source=str(folder)), processor)
    assert torch.equal(found[spec.layer], own)
    # counted from either end
    assert all(torch.equal(found[layer], found[spec.layers + 1 + layer]) for layer in asked if layer < 0)
    assert len({found[layer].numpy().tobytes() for layer in asked}) == spec.layers + 1


def test_a_tile_of_another_size_resizes_the_positions(tiny: Tiny, folder: Path) -> None:
    spec = tiny[1].spec.encoder
    larger = 2 * spec.tile_px
    found = features(LoadedModels(), Loading(source=str(folder), tile_px=larger), tiny[1])
    assert found.shape[1] == (larger // spec.patch_px) ** 2 == 4 * spec.tile.tok**2
    assert spec.seen_at(tile_px=larger).position_px == spec.tile_px


def test_dtypes_change_the_weights_in_memory_and_no_token(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    spec = tiny[1].spec
    points = [point(dtype, spec, folder, dtype) for dtype in ("float32", "bfloat16")]
    models = LoadedModels()
    done = run_sweep(points, models.answerer, tmp_path, progress=False)
    assert models.model(points[1].setting.model)[0].dtype == torch.bfloat16
    full, half = (measured.results[PAGES.name].samples for measured in done.points)
    # nothing is shared: tiles are encoded anew in the other dtype
    assert done.counts.shared == 0
    assert models.tiles.tiles_computed % 2 == 0
    assert [one.prediction.visual_tokens for one in full] == [one.prediction.visual_tokens for one in half]


def test_equal_points_run_once_and_layers_share_no_feature(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    spec = tiny[1].spec
    count = spec.encoder.layers + 1
    own = spec.encoder.states[0]
    # its own hidden state by both of its numbers, and another one
    points = [
        point("own", spec, folder),
        point("own from the start", seen(spec, layer=own), folder),
        point("another", seen(spec, layer=(own + 1) % count), folder),
    ]
    models = LoadedModels()
    done = run_sweep(points, models.answerer, tmp_path, progress=False)
    assert (models.loads, done.counts.shared) == (2, len(PAGES.samples()))
    once = models.tiles.tiles_computed
    again = LoadedModels(cache_folder=tmp_path / "features")
    run_sweep(points, again.answerer, tmp_path / "again", progress=False)
    # the files are of two layers: what one wrote the other never reads
    assert again.tiles.tiles_computed == once
    kept = LoadedModels(cache_folder=tmp_path / "features")
    run_sweep(points, kept.answerer, tmp_path / "kept", progress=False)
    assert kept.tiles.tiles_computed == 0


def test_feature_keys_differ_with_layer_and_tile(tiny: Tiny) -> None:
    spec = tiny[1].spec.encoder
    keys = {identity(one, "w") for one in (spec, spec.seen_at(layer=0), spec.seen_at(tile_px=2 * spec.tile_px))}
    assert len(keys) == 3
    assert identity(spec.seen_at(layer=spec.layer, tile_px=spec.tile_px), "w") == identity(spec, "w")
    # a state has one spec, from whichever end it is counted
    assert all(
        spec.seen_at(layer=state) == spec.seen_at(layer=state - spec.layers - 1) for state in range(spec.layers + 1)
    )
    assert spec.seen_at(layer=spec.states[0]) is spec


def test_prices_follow_tile_layer_and_dtype(tiny: Tiny) -> None:
    spec = tiny[1].spec
    page = SizedSample(id="a", media=(SizedMedium(key="a", size=HW(200, 200)),))
    settings = [
        Setting(name="own", spec=spec),
        Setting(name="first state", spec=seen(spec, layer=0)),
        Setting(name="larger", spec=seen(spec, tile_px=2 * spec.encoder.tile_px)),
        Setting(name="half", spec=replace(spec, dtype="bfloat16"), dtype="bfloat16"),
    ]
    own, first, larger, half = price_sweep([PricePoint(setting=one, samples=(page,)) for one in settings])
    assert first.encoder_flops < own.encoder_flops < larger.encoder_flops
    assert (first.tokens_mean, half.tokens_mean) == (own.tokens_mean, own.tokens_mean) and larger.tokens_mean > 36
    assert (half.new_tiles, half.shared) == (own.new_tiles, 0)
    assert 2 * half.feature_bytes == own.feature_bytes


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("layer", "last", "expected the number of a hidden state"),
        ("layer", 1.5, "expected the number of a hidden state"),
        ("dtype", "fp8", "expected one of float32, bfloat16, float16"),
        ("base-resolution", 0, "expected a whole number of at least 1"),
    ],
)
def test_values_that_an_axis_does_not_take(kind: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Axis(name="a", kind=kind, values=(value,))


def test_states_and_tiles_that_are_not_there(tiny: Tiny) -> None:
    spec = tiny[1].spec.encoder
    with pytest.raises(ValueError, match=f"layer {spec.layers + 1} is not among the {spec.layers + 1} hidden states"):
        spec.seen_at(layer=spec.layers + 1)
    with pytest.raises(ValueError, match="patch_px"):
        spec.seen_at(tile_px=spec.patch_px - 1)
    with pytest.raises(ValueError, match="the projector reads features of width"):
        spec.seen_at(layer=(-1, -2))
