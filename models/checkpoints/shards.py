"""The files of weights that are stored in several: an index names them, and none may lie outside its folder."""

import json
from pathlib import Path

# of a download cache: snapshots/REVISION/FILE is a link to blobs/DIGEST
_SNAPSHOTS, _BLOBS = "snapshots", "blobs"


def shard_files(index: Path) -> list[str]:
    """Return the names of the files that an index lists, sorted.

    Raises ValueError naming the index when it is no such JSON, or a shard that is missing, no plain name, or a link out
    of the folder (links within a download cache's folder of one model are none).
    """
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted(set(places))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: no index of shards (expected weight_map: name -> file; {error})") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name in ("", "..") or "\\" in name or "\0" in name:
            raise ValueError(f"{index}: shard {name!r} is not a plain file name")
        if not (index.parent / name).is_file():
            raise ValueError(f"{index}: shard {name} is missing")
        if not _is_inside(index.parent, name):
            raise ValueError(f"{index}: shard {name} is a link out of the folder; put the file itself there")
    return names


def _is_inside(folder: Path, name: str) -> bool:
    home = folder.resolve()
    allowed = [home]
    if home.parent.name == _SNAPSHOTS:
        allowed.append(home.parent.parent / _BLOBS)
    return (folder / name).resolve().parent in allowed
