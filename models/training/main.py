"""anyres-train: train a model by stages: the pocket recipe, or a stage on conversations of your own."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conf.arguments import split_arguments
from conf.build import build
from conf.launch import run_all
from conf.main import COMPOSE_ERRORS, Composed, compose, told
from conf.schema.train import TrainConfig

if TYPE_CHECKING:
    from models.training.stage import StageSpec

# groups that describe the model of a recipe
_PARTS = ("encoder", "projector", "llm", "grid", "video", "model")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 with one line on standard error for anything that its user can put right."""
    try:
        arguments = split_arguments(sys.argv[1:] if argv is None else argv, known=())
        if arguments.bare:
            raise ValueError(f"{arguments.bare[0]}: expected key=value")
        return run_all("models.training.main", compose("train", arguments.overrides), _train)
    except (*COMPOSE_ERRORS, ValueError, OSError) as error:
        return told("anyres-train", error)
    except KeyboardInterrupt:
        print("anyres-train: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


def _train(composed: Composed) -> int:
    config = build(TrainConfig, composed.mapping)
    folder = _recipe(config) if config.recipe is not None else _stage(config, composed)
    print(f"wrote {folder}")
    return 0


def _recipe(config: TrainConfig) -> Path:
    from models.pocket import recipe, towers

    mapping = {**(config.recipe or {}), **({"folder": config.out} if config.out else {})}
    kind = mapping.pop("kind", None)
    if kind == "pocket":
        return recipe.run(build(recipe.PocketRecipe, mapping, "recipe"), config.spec, _say)
    if kind == "towers":
        return towers.run(build(towers.TowersRecipe, mapping, "recipe"), _say)
    raise ValueError(f"recipe.kind: {kind!r}, expected pocket or towers")


def _say(line: str) -> None:
    print(line, flush=True)


def _stage(config: TrainConfig, composed: Composed) -> Path:
    """Train one stage on a user's conversations; return the folder of the model."""
    if config.stage is None:
        raise ValueError("nothing to train: choose recipe=pocket, or stage=align or stage=sft with data=FILE.json")
    for name, value in (("data", config.data), ("source", config.source), ("out", config.out)):
        if value is None:
            raise ValueError(f"{name}: a stage needs {name}=...; anyres-train --help says what it is")
    given = [group for group in _PARTS if composed.chosen.get(group, "None") != "None"]
    if given:
        raise ValueError(f"{given[0]}: a stage trains the model of source=... as it is; parts are a recipe's")
    # torch and transformers take seconds to load: not before the words make sense
    import torch

    from models.build import load
    from models.checkpoints.save import save
    from models.checkpoints.shipped import folder_of
    from models.processor import Processor
    from models.training.loop import train
    from models.training.objective import Answers
    from models.training.record import begin
    from models.training.sft import read_conversations, sft_source

    stage: StageSpec = config.stage
    model, loaded = load(str(config.source), device=config.device, dtype=torch.float32)
    processor = Processor(loaded.spec, loaded.tokenizer, labels=config.labels)
    conversations = read_conversations(Path(str(config.data)), Path(config.media))
    data = sft_source(conversations, processor, stage.batch_tokens, stage.seed)
    folder = Path(str(config.out))
    begin(
        folder / stage.name,
        folder_of(str(config.source)),
        Path(str(config.data)),
        Path(config.media),
        config.labels,
        stage,
    )
    train(stage, model, Answers(), data, folder / stage.name, say=_say)
    save(folder / "model", model, processor)
    return folder / "model"


if __name__ == "__main__":
    sys.exit(main())
