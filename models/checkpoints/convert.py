"""Convert a checkpoint from any layout into another one; weights keep their bits."""

from collections.abc import Callable
from pathlib import Path

from models.checkpoints.format import Checkpoint, write_run
from models.checkpoints.llava_hf_write import write_llava_hf
from models.checkpoints.load import read_checkpoint
from models.checkpoints.official_write import write_official

WRITERS: dict[str, Callable[[Path, Checkpoint], None]] = {
    "official": write_official,
    "llava-hf": write_llava_hf,
    "anyres": write_run,
}


def convert(layout: str, source: Path, target: Path) -> Checkpoint:
    """Write the checkpoint of folder `source`, whatever its layout, to folder `target` in `layout`; return it.

    Raises ValueError for an unknown layout, a target that holds files already, or what the layout cannot hold.
    """
    if layout not in WRITERS:
        raise ValueError(f"layout {layout!r} is none of {', '.join(WRITERS)}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target}: exists and is not an empty folder")
    checkpoint = read_checkpoint(source)
    WRITERS[layout](target, checkpoint)
    return checkpoint
