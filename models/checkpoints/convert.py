"""Convert a checkpoint from any layout into another one; weights keep their bits unless another dtype is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from models.checkpoints.format import SPEC, Checkpoint, read_json, write_json, write_run
from models.checkpoints.llava_hf_write import write_llava_hf
from models.checkpoints.load import read_checkpoint
from models.checkpoints.official_write import write_official
from models.checkpoints.record import RECORD, record_of
from models.checkpoints.save import DTYPES
from models.checkpoints.tensors import SHARD_BYTES, TensorWriter, Written, lazily, write_tensors
from models.prompt.templates import TEMPLATES

WRITERS: dict[str, Callable[[Path, Checkpoint, TensorWriter], None]] = {
    "official": write_official,
    "llava-hf": write_llava_hf,
    "anyres": write_run,
}
# what a finished folder has
LAST = {"official": "config.json", "llava-hf": "config.json", "anyres": SPEC}


def convert(
    layout: str,
    source: Path,
    target: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    dtype: str | None = None,
    template: str | None = None,
    base: Path | None = None,
    pickles: bool = False,
    report: Callable[[Written], None] = lambda written: None,
) -> Checkpoint:
    """Write the checkpoint of folder `source`, whatever its layout, to folder `target` in `layout`; return it.

    One tensor is in memory at a time. dtype: of the written weights, by default their own. template: the name of a
    prompt template, instead of the one that was told by the source. base: what `source`, a LoRA folder, is merged
    into, instead of the folder that its config names. pickles: read torch files too, with
    weights_only. report: called after each weights file.

    A run that was cut off goes on with the same command: the file conversion.json in `target`, written first, records
    source and options, and whole weights files are kept. Raises ValueError for an unknown layout, dtype or template, a
    target that holds something else, or what the layout cannot hold.
    """
    if layout not in WRITERS:
        raise ValueError(f"layout {layout!r} is none of {', '.join(WRITERS)}")
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes: expected at least 1, got {shard_bytes}")
    whole = read_checkpoint(source, None, pickles) if base is None else read_checkpoint(base, source, pickles)
    checkpoint = _changed(whole, dtype, template)
    record = record_of(source, base, layout=layout, dtype=dtype, template=template, shard_bytes=shard_bytes)
    resume = _resumes(target, LAST[layout], record)
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / RECORD, record)
    write = partial(write_tensors, shard_bytes=shard_bytes, resume=resume, report=report)
    WRITERS[layout](target, checkpoint, write)
    return checkpoint


def _changed(checkpoint: Checkpoint, dtype: str | None, template: str | None) -> Checkpoint:
    if dtype is not None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
        tensors = lazily(checkpoint.tensors).cast(DTYPES[dtype])
        checkpoint = replace(checkpoint, spec=replace(checkpoint.spec, dtype=dtype), tensors=tensors)
    if template is not None:
        if template not in TEMPLATES:
            raise ValueError(f"template {template!r} is none of {', '.join(TEMPLATES)}")
        checkpoint = replace(checkpoint, spec=replace(checkpoint.spec, template=template))
    return checkpoint


def _resumes(target: Path, last: str, record: Mapping[str, Any]) -> bool:
    """Tell whether the target holds the beginning of this very conversion; ValueError when it holds anything else."""
    if not target.exists():
        return False
    if not target.is_dir() or (any(target.iterdir()) and not (target / RECORD).is_file()):
        raise ValueError(f"{target}: exists and is not an empty folder")
    if all(path.name == RECORD for path in target.iterdir()):
        # empty, or a conversion that was refused before it wrote a file
        return False
    if (target / last).is_file():
        raise ValueError(f"{target}: exists and is not an empty folder; it holds a finished conversion")
    begun = read_json(target / RECORD)
    if begun != record:
        differing = sorted(key for key in {*begun, *record} if begun.get(key) != record.get(key))
        raise ValueError(f"{target}: holds the beginning of another conversion ({', '.join(differing)} differ)")
    return True
