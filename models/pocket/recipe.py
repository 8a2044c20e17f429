"""The pocket recipe: its stages one after the other, each resumable, and the run folder they end in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from models.checkpoints.save import save
from models.lmm import LMM
from models.pocket.fresh import fresh
from models.pocket.mix import Mix
from models.pocket.sources import answer_source, patch_source
from models.pocket.teachers import PatchWords, PlacedAnswers, PlacedWords
from models.spec import ModelSpec
from models.training.curve import draw_curve
from models.training.loop import DataSource, train
from models.training.stage import StageSpec

# root mean square of word vectors and projected patches when the decoder starts
BALANCED_RMS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketRecipe:
    """Stages in order and the training mixes that their `data` names; `patches` is stage V's data.

    folder: where each stage keeps its log and checkpoint, and where the model and its learning curve are written at the
    end. threads: of torch.
    """

    folder: Path
    stages: tuple[StageSpec, ...]
    mixes: dict[str, Mix]
    threads: int = 1
    seed: int = 0


def run(recipe: PocketRecipe, spec: ModelSpec, say: Callable[[str], None]) -> Path:
    """Train a pocket model and return the run folder that holds it; a killed run goes on where it stopped.

    say: gets a line at each stage's start and end. Raises ValueError for a stage whose objective or data is unknown.
    """
    torch.set_num_threads(recipe.threads)
    model, processor = fresh(spec, recipe.seed)
    # later stages go on with the teachers of earlier ones
    objectives = _objectives(spec, recipe.seed)
    for index, stage in enumerate(recipe.stages):
        if stage.objective not in objectives:
            known = sorted(objectives)
            raise ValueError(f"stage {stage.name!r}: objective {stage.objective!r}, expected one of {known}")
        objective = objectives[stage.objective]
        folder = _folder(recipe, index)
        done = folder / "done.pt"
        if done.exists():
            state = torch.load(done, weights_only=True)
            model.load_state_dict(state["model"])
            objective.load_state_dict(state["teacher"])
            say(f"{stage.name}: already done")
            continue
        say(f"{stage.name}: {stage.steps} steps")
        train(stage, model, objective, _data(stage, recipe), folder, say=say)
        if stage.objective == "patch_words":
            balance(model, patch_source(stage.seed, 128)(0).pixels_NCHW)
        torch.save({"model": model.state_dict(), "teacher": objective.state_dict()}, done)
    save(recipe.folder / "model", model, processor, dtype="float16")
    logs = [(stage.name, _folder(recipe, index) / "log.jsonl") for index, stage in enumerate(recipe.stages)]
    draw_curve(logs, recipe.folder / "curve.png")
    return recipe.folder / "model"


@torch.no_grad()
def balance(model: LMM, pixels_NCHW: torch.Tensor) -> None:
    """Give projected patches and word vectors one scale, and start the output layer from the words' directions.

    Stage V compares directions only, so their lengths drift apart; a decoder starts badly from that.
    """
    features_NPE = model.encode(pixels_NCHW)
    rms = model.projector(features_NPE).square().mean().sqrt()
    last = [module for module in model.projector.modules() if isinstance(module, nn.Linear)][-1]
    last.weight.mul_(BALANCED_RMS / rms)
    last.bias.mul_(BALANCED_RMS / rms)
    words = model.llm.get_input_embeddings().weight
    directions = F.normalize(words, dim=-1)
    model.llm.get_output_embeddings().weight.copy_(directions)
    words.copy_(directions * BALANCED_RMS * words.shape[-1] ** 0.5)
    model.ends_KD.copy_(F.normalize(model.ends_KD, dim=-1) * BALANCED_RMS * words.shape[-1] ** 0.5)


def _folder(recipe: PocketRecipe, index: int) -> Path:
    return recipe.folder / f"{index}-{recipe.stages[index].name}"


def _objectives(spec: ModelSpec, seed: int) -> dict[str, PatchWords | PlacedAnswers | PlacedWords]:
    torch.manual_seed(seed)
    placed = PlacedAnswers(spec.llm.hidden)
    return {
        "patch_words": PatchWords(spec.encoder.width),
        "placed_answers": placed,
        "placed_words": PlacedWords(placed, spec.llm.hidden),
    }


def _data(stage: StageSpec, recipe: PocketRecipe) -> DataSource:
    if stage.data == "patches":
        return patch_source(stage.seed, stage.batch_tokens)
    if stage.data not in recipe.mixes:
        raise ValueError(
            f"stage {stage.name!r}: data {stage.data!r}, expected patches or one of {sorted(recipe.mixes)}"
        )
    return answer_source(recipe.mixes[stage.data], stage.seed, stage.batch_tokens)
