"""The training loop: a killed and resumed run equals an uninterrupted one; frozen parts do not move; losses fall."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.build import load
from models.lmm import LMM
from models.pocket.batches import PlacedBatch
from models.pocket.fresh import fresh
from models.pocket.mix import Mix, View
from models.pocket.recipe import PocketRecipe
from models.pocket.recipe import run as run_recipe
from models.pocket.sources import answer_source, patch_source
from models.pocket.teachers import PatchWords, PlacedAnswers
from models.spec import ModelSpec
from models.training.loop import train
from models.training.stage import Rates, StageSpec

WIDTH = 32
MIX = Mix(views=(View(weight=1, corner=True), View(weight=1, frames=(2, 3))), questions=3)
STAGE = StageSpec(
    name="tiny",
    objective="placed_answers",
    data="mix",
    steps=6,
    batch_tokens=200,
    warmup=2,
    precision="float32",
    parts={
        "projector": Rates(adamw=0.001, muon=0.01),
        "llm": Rates(adamw=0.002, muon=0.01),
        "teacher": Rates(adamw=0.01),
    },
    rope_factors=(1.0, 2.0),
    save_every=3,
    log_every=1,
)


def teacher() -> PlacedAnswers:
    torch.manual_seed(0)
    return PlacedAnswers(WIDTH, place_layer=1, pointer_layer=2)


def run(spec: ModelSpec, folder: Path, stop_at: int | None = None) -> LMM:
    model, _ = fresh(spec, seed=0)
    source = answer_source(MIX, seed=0, batch_tokens=200)

    def data(step: int) -> PlacedBatch:
        if step == stop_at:
            raise KeyboardInterrupt
        return source(step)

    train(STAGE, model, teacher(), data, folder)
    return model


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, tiny_pocket: ModelSpec) -> None:
    whole = run(tiny_pocket, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tiny_pocket, tmp_path / "killed", stop_at=4)
    resumed = run(tiny_pocket, tmp_path / "killed")
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    losses = [[(json.loads(line)["step"], json.loads(line)["loss"]) for line in log] for log in logs]
    assert losses[0] == losses[1] and [step for step, _ in losses[0]] == [1, 2, 3, 4, 5, 6]


def test_frozen_parts_do_not_move(tmp_path: Path, tiny_pocket: ModelSpec) -> None:
    before, _ = fresh(tiny_pocket, seed=0)
    after = run(tiny_pocket, tmp_path)
    moved = {
        name.split(".")[0]
        for (name, a), b in zip(before.state_dict().items(), after.state_dict().values(), strict=True)
        if not torch.equal(a, b)
    }
    assert moved == {"projector", "llm"}


def test_a_checkpoint_of_another_stage_is_refused(tmp_path: Path, tiny_pocket: ModelSpec) -> None:
    run(tiny_pocket, tmp_path)
    model, _ = fresh(tiny_pocket, seed=0)
    with pytest.raises(ValueError, match="tiny"):
        train(replace(STAGE, name="other"), model, teacher(), answer_source(MIX, 0, 200), tmp_path)


def test_patch_words_learn(tmp_path: Path, tiny_pocket: ModelSpec) -> None:
    model, _ = fresh(tiny_pocket, seed=0)
    stage = replace(
        STAGE,
        objective="patch_words",
        steps=30,
        log_every=10,
        rope_factors=(1.0,),
        parts={part: Rates(adamw=0.003) for part in ("encoder", "projector", "llm", "teacher")},
    )
    torch.manual_seed(0)
    train(stage, model, PatchWords(WIDTH), patch_source(0, tiles=16), tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 1.0


def test_a_recipe_runs_its_stages_and_goes_on(tmp_path: Path, tiny_pocket: ModelSpec) -> None:
    # teachers read the decoder's layers 2 and 4 (3 for words), so the tiny one needs as many
    spec = replace(tiny_pocket, llm=replace(tiny_pocket.llm, layers=4))
    every = {part: Rates(adamw=0.001) for part in ("projector", "llm", "teacher")}
    patches = replace(STAGE, name="a", objective="patch_words", data="patches", steps=2, batch_tokens=8, parts=every)
    stages = (
        replace(patches, rope_factors=(1.0,)),
        replace(STAGE, name="b", steps=2, parts=every),
        replace(STAGE, name="c", objective="placed_words", steps=2, parts=every),
    )
    recipe = PocketRecipe(folder=tmp_path, stages=stages, mixes={"mix": MIX})
    said: list[str] = []
    run_recipe(recipe, spec, said.append)
    assert (tmp_path / "curve.png").is_file()
    model, processor = load(tmp_path / "model")
    assert processor.spec.dtype == "float16" and model.llm.config.num_hidden_layers == 4
    (tmp_path / "2-c" / "done.pt").unlink()
    (tmp_path / "2-c" / "checkpoint.pt").unlink()
    said.clear()
    run_recipe(recipe, spec, said.append)
    assert said[:3] == ["a: already done", "b: already done", "c: 2 steps"]
    again, _ = load(tmp_path / "model")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
