"""Axes of pixels and maps: resize, interpolation, decode size. Each changes what it says, and equal points share."""

from dataclasses import replace
from pathlib import Path

import pytest

from anyres.geometry import HW
from anyres.grid import GridSpec
from evals.ablation.axes import Axis
from evals.ablation.loaded import LoadedModels
from evals.ablation.planner import Planner, Setting, SizedMedium, SizedSample
from evals.ablation.prices import PricePoint, price_sweep
from evals.ablation.runner import SweepPoint, SweepRun, run_sweep
from evals.tasks.pocket import PocketImage, PocketVideo
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor
from models.spec import ModelSpec
from video.clip import ClipMeta

Tiny = tuple[LMM, Processor]
PAGES = PocketImage(kinds=("read",), count=3)


@pytest.fixture(scope="module")
def folder(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(path, *tiny)
    return path


def swept(
    settings: list[Setting], folder: Path, out: Path, task: object = PAGES, cache: Path | None = None
) -> tuple[SweepRun, LoadedModels]:
    points = [SweepPoint(setting=replace(one, weights=str(folder)), folder=one.name, tasks=(task,)) for one in settings]
    models = LoadedModels(cache_folder=cache)
    return run_sweep(points, models.answerer, out, progress=False), models


def tokens(done: SweepRun) -> list[list[int]]:
    return [[s.prediction.visual_tokens for s in r.samples] for point in done.points for r in point.results.values()]


def priced(settings: list[Setting], size: HW | ClipMeta) -> list[tuple[int, int, int]]:
    sample = SizedSample(id="a", media=(SizedMedium(key="a", size=size),))
    prices = price_sweep([PricePoint(setting=one, samples=(sample,)) for one in settings])
    return [(price.tokens_max, price.new_tiles, price.shared) for price in prices]


def test_ways_to_resize_change_pixels_and_no_plan(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    settings = [Setting(name=way, spec=tiny[1].spec, resample=way) for way in ("bicubic", "bilinear", "area")]
    done, models = swept(settings, folder, tmp_path / "a", cache=tmp_path / "features")
    assert len(set(map(tuple, tokens(done)))) == 1
    assert done.counts.shared == 0
    # pages are reduced to tiles, so that all but blank tiles differ; a second sweep finds each under its own key
    once = models.tiles.tiles_computed
    _, alone = swept(settings[:1], folder, tmp_path / "b")
    assert alone.tiles.tiles_computed < once <= 3 * alone.tiles.tiles_computed
    _, again = swept(settings, folder, tmp_path / "c", cache=tmp_path / "features")
    assert again.tiles.tiles_computed == 0
    first, second, third = priced(settings, HW(200, 200))
    assert first == second == third and first[1] > 0 and first[2] == 0
    # the same way under another name is not asked again
    twice, _ = swept([settings[2], replace(settings[2], name="again")], folder, tmp_path / "d")
    assert twice.counts.shared == len(PAGES.samples())


def capped(spec: ModelSpec, way: str, target: int) -> ModelSpec:
    return replace(spec, grid=GridSpec(layouts=(HW(2, 2),), target_tok=target, slack=1.0, shrink=way))


def test_ways_to_shrink_change_the_map_alone(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    ways = ("bilinear", "bicubic", "area")
    settings = [Setting(name=way, spec=capped(tiny[1].spec, way, 9)) for way in ways]
    done, models = swept(settings, folder, tmp_path / "a")
    assert len(set(map(tuple, tokens(done)))) == 1
    assert done.counts.shared == 0
    # what the encoder gives is shared: pooling comes behind it
    _, alone = swept(settings[:1], folder, tmp_path / "b")
    assert models.tiles.tiles_computed == alone.tiles.tiles_computed
    # read together, as a sweep does, the answers are those of each point alone
    points = [SweepPoint(setting=replace(s, weights=str(folder)), folder=s.name, tasks=(PAGES,)) for s in settings]
    together = LoadedModels()
    joint = run_sweep(points, together.answerer, tmp_path / "c", engine_of=together.engine, progress=False)
    texts = [
        [[s.prediction.text for s in r.samples] for point in run.points for r in point.results.values()]
        for run in (done, joint)
    ]
    assert texts[0] == texts[1]


def test_a_target_that_does_not_bite_runs_once(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    settings = [Setting(name=way, spec=capped(tiny[1].spec, way, 10_000)) for way in ("bilinear", "bicubic", "area")]
    done, _ = swept(settings, folder, tmp_path)
    assert done.counts.shared == 2 * len(PAGES.samples())
    assert [shared for _, _, shared in priced(settings, HW(200, 200))] == [0, 1, 1]


def test_decode_sizes_change_pixels_and_equal_ones_run_once(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    clips = PocketVideo(folder=tmp_path / "clips", kinds=("first",), frames=4, count=1)
    size = ClipMeta(num_frames=64, fps=8.0, size=HW(90, 120), duration_s=8.0)
    spec = tiny[1].spec
    settings = [
        Setting(name=str(side), spec=replace(spec, video=replace(spec.video, num_frames=4, decode_px=side)))
        for side in (None, 30, 10_000)
    ]
    done, models = swept(settings, folder, tmp_path / "sweep", clips)
    assert len(set(map(tuple, tokens(done)))) == 1
    # the last is larger than the clip
    assert done.counts.shared == 1
    _, alone = swept(settings[:1], folder, tmp_path / "alone", clips)
    assert models.tiles.tiles_computed > alone.tiles.tiles_computed
    whole, small, larger = priced(settings, size)
    assert whole[0] == small[0] == larger[0]
    assert (whole[1], small[1], larger[1]) == (4, 4, 0) and (small[2], larger[2]) == (0, 1)
    sample = SizedSample(id="a", media=(SizedMedium(key="a", size=size),))
    planner = Planner()
    keys = [planner.key(sample, one) for one in settings]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("resize", "nearest", "resize='nearest', expected one of bicubic, bilinear, area"),
        ("interpolation", "lanczos", "grid.shrink='lanczos', expected one of bilinear, bicubic, area"),
        ("decode-size", 0, "video.decode_px=0, expected a whole number of at least 1 or null"),
    ],
)
def test_values_that_an_axis_does_not_take(kind: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Axis(name="a", kind=kind, values=(value,))
