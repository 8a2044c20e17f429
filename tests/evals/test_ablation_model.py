"""Sweeps with a real, tiny model: each tile encoded once, no answer changed by it, broken wiring that is broken."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from anyres.geometry import HW
from anyres.grid import GridSpec
from conf.sweep import plan_cells
from evals.ablation.axes import Ablation, Axis
from evals.ablation.loaded import LoadedModels, flops_of
from evals.ablation.planner import Setting, SizedMedium, SizedSample
from evals.ablation.prices import PricePoint, price_sweep
from evals.ablation.rewired import rewired
from evals.ablation.runner import SweepPoint, run_sweep
from evals.ablation.table import build_table
from evals.answerer import LmmAnswerer
from evals.media.looking import Looking
from evals.predict import Question
from evals.run import evaluate
from evals.tasks.pocket import PocketImage, PocketVideo
from models.build import load
from models.checkpoints.save import save
from models.example import Example, Turn
from models.lmm import LMM
from models.pocket.tasks import image_samples
from models.prepared import Prepared
from models.processor import Processor

Tiny = tuple[LMM, Processor]
PAGES = PocketImage(kinds=("read", "count"), count=4)


@pytest.fixture(scope="module")
def folder(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(path, *tiny)
    return path


def point(processor: Processor, folder: Path, name: str, wiring: str = "none", **changes: object) -> SweepPoint:
    spec = replace(processor.spec, **changes)
    return SweepPoint(
        setting=Setting(name=name, spec=spec, weights=str(folder), wiring=wiring), folder=name, tasks=(PAGES,)
    )


def grid(*layouts: tuple[int, int], **rest: object) -> GridSpec:
    return GridSpec(layouts=tuple(HW(*layout) for layout in layouts), **rest)


def distinct_tiles(processor: Processor, spec: GridSpec) -> int:
    turns = (Turn(role="user", text="<image>\nwhat?"),)
    examples = [Example(id=one.id, media=(one.media[0].draw(),), turns=turns) for one in PAGES.samples()]
    tiles = torch.cat([processor.prepare(example, grid=spec).pixels_NCHW for example in examples])
    return len(torch.unique(tiles.flatten(1), dim=0))


def test_a_sweep_encodes_each_tile_once_and_changes_no_answer(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    grids = {"1x1": grid((1, 1)), "2x2": grid((2, 2)), "2x2-few": grid((2, 2), target_tok=16)}
    points = [point(tiny[1], folder, name, grid=spec) for name, spec in grids.items()]
    models = LoadedModels()
    done = run_sweep(points, models.answerer, tmp_path / "sweep", flops_of=flops_of, progress=False)
    # 8 square pages: the overview is also the 1x1 detail, 4 more tiles at 2x2, none for the target; some are blank
    assert models.tiles.tiles_computed == distinct_tiles(tiny[1], grids["2x2"]) <= 8 * 5
    # the overview of a square page and its 1x1 detail are one tile, and so are a batch's blank ones
    assert 8 * 5 < models.tiles.tiles_asked < 8 * (1 + 5 + 5)
    assert models.loads == 1
    for measured in done.points:
        model, processor = load(folder)
        alone = evaluate(
            PAGES, model, processor, tmp_path / "alone" / measured.setting, grid=grids[measured.setting], progress=False
        )
        texts = [[item.prediction.text for item in result.samples] for result in (alone, measured.results[PAGES.name])]
        assert texts[0] == texts[1]
    tokens = {row.setting: row.tokens for row in build_table(done.points, "1x1") if row.task == "mean"}
    # 16 + 4 * 5; 16 + 8 * 9; the map of 64 shrunk to 4 x 4
    assert tokens == {"1x1": 36, "2x2": 88, "2x2-few": 36}


def test_rope_factors_share_the_encoder(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    points = [point(tiny[1], folder, f"x{factor:g}", rope_factor=factor) for factor in (1.0, 2.0)]
    models = LoadedModels()
    run_sweep(points, models.answerer, tmp_path, progress=False)
    assert models.loads == 2
    assert models.tiles.tiles_computed == distinct_tiles(tiny[1], tiny[1].spec.grid)
    assert "tiny" in models.record()["weights"]


def test_a_wider_context_lets_a_model_read_beyond_its_own(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    clips = PocketVideo(folder=tmp_path / "clips", kinds=("first",), frames=16, count=1)
    video = replace(tiny[1].spec.video, num_frames=16)
    wide = replace(tiny[1].spec.llm, context=1 << 20)
    points = [
        replace(point(tiny[1], folder, "trained", video=video), tasks=(clips,)),
        replace(point(tiny[1], folder, "beyond", video=video, llm=wide), tasks=(clips,)),
    ]
    done = run_sweep(points, LoadedModels().answerer, tmp_path / "sweep", progress=False)
    statuses = [measured.results[clips.name].samples[0].prediction.status for measured in done.points]
    # 16 frames of 4 x (4 + 1) tokens are 320 positions, the model has 256
    assert statuses == ["error", "ok"]


def prepared_page(processor: Processor, layout: tuple[int, int]) -> Prepared:
    (page,) = image_samples("position", seed=1, count=1)
    turns = (Turn(role="user", text=f"<image>\n{page.question}"),)
    return processor.prepare(Example(id="a", media=(page.image,), turns=turns), grid=grid(layout))


@pytest.mark.parametrize("wiring", ["shuffled_tiles", "no_row_ends", "swapped_rows_cols"])
def test_broken_wiring_reaches_the_model(tiny: Tiny, wiring: str) -> None:
    model, processor = tiny
    intact = prepared_page(processor, (2, 2))
    broken = rewired(intact, wiring, seed="a")
    with torch.inference_mode():
        logits = [model(processor.collate([one])).logits[0, -1] for one in (intact, broken)]
    assert not torch.allclose(*logits, atol=1e-3)


def test_intact_wiring_is_the_same_input(tiny: Tiny) -> None:
    intact = prepared_page(tiny[1], (2, 2))
    same = rewired(intact, "none", seed="a")
    assert torch.equal(same.pixels_NCHW, intact.pixels_NCHW)
    assert same.prompt == intact.prompt and same.plans == intact.plans


def test_dropped_row_ends_leave_the_other_tokens_in_order(tiny: Tiny) -> None:
    processor = tiny[1]
    intact = prepared_page(processor, (2, 2))
    broken = rewired(intact, "no_row_ends", seed="a")
    assert broken.num_visual == intact.num_visual - 8
    assert [visual for visual in broken.prompt.visual if visual >= 0] == list(range(80))
    assert len(broken.prompt.ids) == len(intact.prompt.ids) - 8
    # the packed tokens are those of the intact plan without its row ends
    with torch.inference_mode():
        model = tiny[0]
        packed = []
        for one in (intact, broken):
            batch = processor.collate([one])
            packed.append(model.tokens(model.encode(batch.pixels_NCHW), batch))
    ends = {16 + 9 * row + 8 for row in range(8)}
    kept = torch.tensor([place for place in range(88) if place not in ends])
    assert torch.equal(packed[0][kept], packed[1])


def test_swapped_rows_and_columns_move_the_tiles(tiny: Tiny) -> None:
    intact = prepared_page(tiny[1], (2, 2))
    broken = rewired(intact, "swapped_rows_cols", seed="a")
    assert torch.equal(broken.pixels_NCHW, intact.pixels_NCHW[[0, 1, 3, 2, 4]])


def test_images_that_share_a_prompt_are_asked_and_priced_as_in_a_single_run(tmp_path: Path, tiny: Tiny) -> None:
    """A model that pads images which share a prompt does so in a sweep too, unless a grid was chosen."""
    model, processor = tiny
    padding = Processor(replace(processor.spec, several="pad"), processor.tokenizer)
    save(tmp_path / "pads", model, padding)
    page = Image.new("RGB", (112, 112), "green")
    questions = [Question(id=str(count), prompt="what is it?", media=(page,) * count) for count in (1, 2)]
    own = Axis(name="rope", key="rope_factor", values=(1.0,))
    chosen = Axis(name="grid", key="grid", values=("2x2",))
    for axis, grid, tiles in ((own, None, [5, 2]), (chosen, GridSpec(layouts=(HW(2, 2),)), [5, 10])):
        (planned,) = plan_cells(Ablation(name="a", title="A", axes=(axis,)), [f"model={tmp_path}/pads"])
        swept = LoadedModels().answerer(planned.setting)
        alone = LmmAnswerer(model, padding, Looking(model, padding, grid=grid))
        for answerer in (swept, alone):
            assert [answerer.prepare(question).tiles for question in questions] == tiles
        medium = SizedMedium(key="page", size=HW(112, 112))
        samples = [SizedSample(id=one.id, media=(medium,) * len(one.media)) for one in questions]
        prices = [price_sweep([PricePoint(setting=planned.setting, samples=(one,))])[0] for one in samples]
        assert [price.tiles for price in prices] == tiles
