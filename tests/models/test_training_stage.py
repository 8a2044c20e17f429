"""Stages as data, learning rates over a stage, batches by length, and which parameters move."""

import pytest
import torch
from torch import nn

from models.training.freeze import part_of
from models.training.lengths import epoch_batches
from models.training.optim import build_optimizers, is_hidden_matrix, set_rates
from models.training.stage import Rates, StageSpec


def stage(**changes: object) -> StageSpec:
    settings = {"name": "s", "objective": "answers", "data": "d", "steps": 100, "batch_tokens": 64, "warmup": 10}
    return StageSpec(**{**settings, "parts": {"llm": Rates(adamw=0.1)}, "decay": 0.5, **changes})


def test_rates_rise_hold_and_fall_to_nothing() -> None:
    spec = stage()
    assert [round(spec.rate_factor(step), 3) for step in (0, 4, 9, 30, 50, 75, 99)] == [0.1, 0.5, 1, 1, 1, 0.5, 0.02]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parts": {"tower": Rates(adamw=0.1)}}, "tower"),
        ({"parts": {}}, "parts"),
        ({"steps": 0}, "steps 0"),
        ({"decay": 2.0}, "decay 2.0"),
        ({"precision": "fp8"}, "fp8"),
    ],
)
def test_wrong_stages_are_named(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        stage(**changes)


def test_every_parameter_has_a_part() -> None:
    names = (
        "encoder.tower.x",
        "projector.layers.0.weight",
        "llm.model.norm.weight",
        "ends_KD",
        "teacher.place.head.bias",
    )
    assert [part_of(name) for name in names] == ["encoder", "projector", "llm", "ends", "teacher"]
    with pytest.raises(ValueError, match=r"other\.weight"):
        part_of("other.weight")


def test_muon_gets_hidden_matrices_only() -> None:
    matrix, vector = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(4))
    assert is_hidden_matrix("llm.model.layers.0.mlp.up_proj.weight", matrix)
    assert not is_hidden_matrix("llm.model.layers.0.mlp.up_proj.bias", vector)
    for name in ("llm.model.embed_tokens.weight", "llm.lm_head.weight", "ends_KD", "teacher.place.head.weight"):
        assert not is_hidden_matrix(name, matrix), name


def test_each_part_has_its_own_rate() -> None:
    parts = {"projector": Rates(adamw=0.1, muon=0.3), "llm": Rates(adamw=0.2)}
    moving = {
        "projector.layers.0.weight": nn.Parameter(torch.zeros(4, 4)),
        "projector.layers.0.bias": nn.Parameter(torch.zeros(4)),
        "llm.model.norm.weight": nn.Parameter(torch.zeros(4)),
    }
    optimizers = build_optimizers(stage(parts=parts), moving)
    set_rates(optimizers, 0.5)
    found = {(type(each).__name__, group["lr"]) for each in optimizers for group in each.param_groups}
    assert found == {("Muon", 0.15), ("AdamW", 0.05), ("AdamW", 0.1)}


def test_an_epoch_holds_every_sample_once_within_the_budget() -> None:
    lengths = [5, 9, 3, 7, 7, 2, 10, 1]
    batches = epoch_batches(lengths, batch_tokens=20, seed=1, epoch=0)
    assert sorted(index for batch in batches for index in batch) == list(range(8))
    assert all(max(lengths[index] for index in batch) * len(batch) <= 20 for batch in batches)
    assert batches == epoch_batches(lengths, batch_tokens=20, seed=1, epoch=0)
    assert batches != epoch_batches(lengths, batch_tokens=20, seed=1, epoch=1)


def test_a_sample_longer_than_a_batch_is_named() -> None:
    with pytest.raises(ValueError, match="sample 1 needs 30 positions, but batch_tokens is 20"):
        epoch_batches([5, 30], batch_tokens=20, seed=0, epoch=0)
