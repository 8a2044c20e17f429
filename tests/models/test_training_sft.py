"""A stage on a user's conversations: the JSON format, its errors, and the command from end to end."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.build import load
from models.checkpoints.save import save
from models.pocket.fresh import fresh
from models.spec import ModelSpec
from models.training.main import main
from models.training.sft import read_conversations, sft_source


def record(**changes: object) -> dict[str, object]:
    turns = [{"from": "human", "value": "<image>\nwhat color is cat?"}, {"from": "gpt", "value": "red"}]
    return {"id": "7", "image": "a.png", "conversations": turns, **changes}


def write(folder: Path, records: object) -> Path:
    Image.new("RGB", (168, 168), (250, 240, 240)).save(folder / "a.png")
    path = folder / "data.json"
    path.write_text(json.dumps(records))
    return path


def test_records_become_batches(tmp_path: Path, tiny_pocket: ModelSpec) -> None:
    text_only = [{"from": "human", "value": "what is red?"}, {"from": "gpt", "value": "cat"}]
    path = write(tmp_path, [record(), record(id="8", image=None, conversations=text_only)])
    conversations = read_conversations(path, tmp_path)
    assert [(len(c.files), c.turns[-1].text) for c in conversations] == [(1, "red"), (0, "cat")]
    _, processor = fresh(tiny_pocket, seed=0)
    source = sft_source(conversations, processor, batch_tokens=64, seed=0)
    batches = [source(step) for step in range(3)]
    # one epoch is one batch here; steps beyond it repeat the samples
    assert [len(batch.ids_BL) for batch in batches] == [2, 2, 2]
    answers = {tuple(row[row >= 0].tolist()) for batch in batches for row in batch.labels_BL}
    assert answers == {tuple(processor.encode("red <end>")), tuple(processor.encode("cat <end>"))}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"records": []}, "expected a list of records"),
        ([record(conversations="hello")], "record 0: expected an object with 'conversations'"),
        ([record(image=None)], r"1 placeholder\(s\) <image> for 0 file\(s\)"),
        ([record(conversations=[{"from": "robot", "value": "x"}])], "robot"),
        ([record(conversations=[{"from": "human", "value": "<image>"}])], "last turn must be an answer"),
    ],
)
def test_wrong_records_are_named(tmp_path: Path, broken: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_conversations(write(tmp_path, broken), tmp_path)


def test_the_command_trains_the_projector_alone(
    tmp_path: Path, tiny_pocket: ModelSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    model, processor = fresh(tiny_pocket, seed=0)
    save(tmp_path / "start", model, processor)
    data = write(tmp_path, [record(), record(id="8")])
    words = ["stage=align", f"source={tmp_path}/start", f"data={data}", f"media={tmp_path}", f"out={tmp_path}/out"]
    assert main([*words, "stage.steps=3", "stage.log_every=1", "stage.warmup=0"]) == 0
    losses = [json.loads(line)["loss"] for line in (tmp_path / "out/align/log.jsonl").read_text().splitlines()]
    assert len(losses) == 3 and losses[-1] < losses[0]
    trained, _ = load(tmp_path / "out" / "model")
    before = model.state_dict()
    moved = {name.split(".")[0] for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"projector"}
    # the same folder goes on with the same run and with no other
    assert main([*words, "stage.steps=4", "stage.log_every=1", "stage.warmup=0"]) == 0
    for other in ("stage.seed=1", "stage.warmup=1"):
        assert main([*words, "stage.steps=5", "stage.warmup=0", other]) == 2
        assert "begun with another" in capsys.readouterr().err
    assert len((tmp_path / "out/align/log.jsonl").read_text().splitlines()) == 4
    assert main([*words, "encoder=siglip-so400m-384"]) == 2
    assert "encoder: a stage trains the model of source=... as it is" in capsys.readouterr().err
    assert main([word.replace("data.json", "dta.json") for word in words]) == 2
    assert "dta.json: No such file or directory, did you mean data.json?" in capsys.readouterr().err
    assert main(["stage=align"]) == 2 and "data: a stage needs data=" in capsys.readouterr().err
    assert main([]) == 2 and "nothing to train" in capsys.readouterr().err


def test_the_recipe_composes_into_its_types(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from models.pocket import recipe as module

    seen = []

    def instead(recipe: module.PocketRecipe, spec: ModelSpec, say: object) -> Path:
        seen.append((recipe, spec))
        return recipe.folder

    monkeypatch.setattr(module, "run", instead)
    assert main(["recipe=pocket", f"out={tmp_path}"]) == 0
    recipe, spec = seen[0]
    assert recipe.folder == tmp_path and [stage.name for stage in recipe.stages][:2] == ["patches", "small"]
    assert {stage.data for stage in recipe.stages} - {"patches"} <= set(recipe.mixes)
    assert spec.encoder.tile_px == 56 and spec.llm.vocab == 240
