"""A run folder: everything that rebuilds a model, in four files.

- anyres.json: the model spec
- llm_config.json: the language model's transformers config, without the RoPE factor (which is in the spec)
- tokenizer.json: the tokenizer
- model.safetensors: weights encoder.*, projector.*, llm.*, ends_KD; or numbered shards with an index
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from conf.build import build
from models.checkpoints.tensors import TensorWriter, read_tensors, write_tensors
from models.spec import ModelSpec

SPEC, LLM_CONFIG, TOKENIZER = "anyres.json", "llm_config.json", "tokenizer.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A model on disk, in this project's terms whatever its layout.

    llm_config: the raw transformers config of the language model, RoPE as trained. tensors: by run folder names, read
    when asked for.
    """

    spec: ModelSpec
    llm_config: Mapping[str, Any]
    tokenizer: Tokenizer
    tensors: Mapping[str, Tensor]


def is_run_folder(folder: Path) -> bool:
    """Tell whether a folder holds a run."""
    return (folder / SPEC).is_file()


def read_run(folder: Path, pickles: bool = False) -> Checkpoint:
    """Return the checkpoint of a run folder. Raises ValueError naming the file and what is wrong with it.

    pickles: as for read_tensors.
    """
    raw = read_json(folder / SPEC)
    if raw.get("format") != FORMAT:
        raise ValueError(f"{folder / SPEC}: expected format {FORMAT}, got {raw.get('format')!r}")
    return Checkpoint(
        spec=build(ModelSpec, raw["spec"], f"{folder / SPEC}: spec"),
        llm_config=read_json(folder / LLM_CONFIG),
        tokenizer=read_tokenizer(folder / TOKENIZER),
        tensors=read_tensors(folder, pickles),
    )


def write_run(folder: Path, checkpoint: Checkpoint, write: TensorWriter = write_tensors) -> None:
    """Write a checkpoint as a run folder; the spec last, so that a half-written folder is not taken for a run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC).unlink(missing_ok=True)
    write(folder, checkpoint.tensors)
    write_json(folder / LLM_CONFIG, checkpoint.llm_config)
    checkpoint.tokenizer.save(str(folder / TOKENIZER))
    write_json(folder / SPEC, {"format": FORMAT, "spec": asdict(checkpoint.spec)})


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ValueError naming the file when there is none."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object, got {type(found).__name__}")
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as indented JSON, beside `path` first: a killed run leaves no half file under the name."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json file. Raises ValueError naming the file when it holds none."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return Tokenizer.from_file(str(path))
    # the library raises nothing narrower
    except Exception as error:
        raise ValueError(f"{path}: not a tokenizer ({error})") from error
