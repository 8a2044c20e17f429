"""Tensors of a folder, read one at a time and written in shards. No code in a file is ever run."""

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.shards import shard_files
from models.checkpoints.stream import Shape, read_header, read_slot, shape_of, write_file

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
TORCH, TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SHARD_BYTES = 5 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lazy:
    """A tensor that is made when it is asked for; its dtype and shape are known before."""

    what: Shape
    make: Callable[[], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A weights file that is done. done, total: bytes of tensors written up to here and in all."""

    name: str
    done: int
    total: int
    # it was there already, whole, from a run that was cut off
    kept: bool


# writes tensors to a folder: write_tensors, or with its options filled in
TensorWriter = Callable[[Path, Mapping[str, Tensor]], None]


class LazyTensors(Mapping[str, Tensor]):
    """Names to tensors, each made anew whenever it is asked for."""

    def __init__(self, entries: Mapping[str, Lazy]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> Tensor:
        return self._entries[key].make()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def what(self, key: str) -> Shape:
        """Return a tensor's dtype and shape without making it."""
        return self._entries[key].what

    def renamed(self, names: Mapping[str, str]) -> "LazyTensors":
        """Return the tensors listed in `names` (here -> there) under their new names."""
        return LazyTensors({new: self._entries[old] for old, new in names.items()})

    def joined(self, other: Mapping[str, Tensor]) -> "LazyTensors":
        """Return these tensors and the other ones, which win."""
        return LazyTensors({**self._entries, **lazily(other)._entries})

    def changed(self, key: str, shape: tuple[int, ...], change: Callable[[Tensor], Tensor]) -> "LazyTensors":
        """Return these tensors, one of them passed through `change` when asked for, which gives it that shape."""
        old = self._entries[key]
        new = Lazy(what=replace(old.what, shape=shape), make=lambda: change(old.make()))
        return LazyTensors({**self._entries, key: new})

    def cast(self, dtype: torch.dtype) -> "LazyTensors":
        """Return these tensors, those of floating point in `dtype`."""
        return LazyTensors({key: _cast(entry, dtype) for key, entry in self._entries.items()})


def lazily(tensors: Mapping[str, Tensor]) -> LazyTensors:
    """Return the same tensors, read when asked for."""
    if isinstance(tensors, LazyTensors):
        return tensors
    return LazyTensors({key: _held(tensor) for key, tensor in tensors.items()})


def read_tensors(folder: Path, pickles: bool = False) -> LazyTensors:
    """Return the weights of a folder, whole or in shards: safetensors.

    pickles: read torch files too, where there is no safetensors file, with weights_only, which makes tensors and
    nothing else. Raises ValueError naming what was looked for, a torch file that may not be read, a shard that is
    missing, a file that is damaged, or a name outside the folder.
    """
    for index in (SAFETENSORS_INDEX, TORCH_INDEX):
        whole = SAFETENSORS if index == SAFETENSORS_INDEX else TORCH
        if (folder / index).is_file():
            return _read_files(folder, shard_files(folder / index), pickles)
        if (folder / whole).is_file():
            return _read_files(folder, [whole], pickles)
    looked = ", ".join((SAFETENSORS, SAFETENSORS_INDEX, TORCH, TORCH_INDEX))
    raise ValueError(f"{folder}: no weights, looked for {looked}")


def read_file(path: Path, pickles: bool = False) -> LazyTensors:
    """Return the tensors of one weights file: safetensors by its ending, else a torch file (where `pickles`).

    Raises ValueError naming the file when it is missing, damaged, or a torch file that may not be read.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return _read_files(path.parent, [path.name], pickles)


def write_tensors(
    folder: Path,
    tensors: Mapping[str, Tensor],
    shard_bytes: int = SHARD_BYTES,
    resume: bool = False,
    report: Callable[[Written], None] = lambda written: None,
) -> None:
    """Write tensors as model.safetensors, or as numbered shards with an index when they exceed `shard_bytes`.

    One tensor is in memory at a time. resume: keep the files that are there, whole, with the same names, dtypes and
    shapes. report: called after each file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lazy = lazily(tensors)
    shards = _split(lazy, shard_bytes)
    total = sum(what.nbytes for shard in shards for what in shard.values())
    # no index of an earlier model over this one's files
    (folder / SAFETENSORS_INDEX).unlink(missing_ok=True)
    files: dict[str, str] = {}
    done = 0
    for number, shard in enumerate(shards, start=1):
        name = SAFETENSORS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        kept = resume and _is_whole(folder / name, shard)
        if not kept:
            write_file(folder / name, lazy, shard)
        files |= dict.fromkeys(shard, name)
        done += sum(what.nbytes for what in shard.values())
        report(Written(name=name, done=done, total=total, kept=kept))
    for path in folder.glob("model*.safetensors"):
        if path.name not in files.values():
            path.unlink()
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": files}
        (folder / SAFETENSORS_INDEX).write_text(json.dumps(index, indent=1) + "\n")


def _split(tensors: LazyTensors, shard_bytes: int) -> list[dict[str, Shape]]:
    shards: list[dict[str, Shape]] = [{}]
    size = 0
    for key in tensors:
        what = tensors.what(key)
        if shards[-1] and size + what.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][key] = what
        size += what.nbytes
    return shards


def _is_whole(path: Path, shard: Mapping[str, Shape]) -> bool:
    if not path.is_file():
        return False
    try:
        found = read_header(path)
    except ValueError:
        # cut short by something else than us: written again
        return False
    return {key: slot.what for key, slot in found.items()} == shard


def _read_files(folder: Path, names: list[str], pickles: bool) -> LazyTensors:
    torch_files = [name for name in names if Path(name).suffix != ".safetensors"]
    if torch_files and not pickles:
        raise ValueError(
            f"{folder / torch_files[0]}: a torch file is a pickle and is not read. Where you trust it, convert the "
            "folder once: anyres-convert anyres FOLDER TARGET --pickles"
        )
    # one torch file is mapped at a time: what was read of it counts as memory for as long as it is
    opened = lru_cache(maxsize=1)(_open_torch)
    entries: dict[str, Lazy] = {}
    for name in names:
        path = folder / name
        if path.suffix == ".safetensors":
            slots = read_header(path)
            entries |= {key: Lazy(what=slot.what, make=partial(read_slot, path, slot)) for key, slot in slots.items()}
        else:
            entries |= {
                key: Lazy(what=shape_of(tensor), make=lambda path=path, key=key: opened(path)[key].clone())
                for key, tensor in opened(path).items()
            }
    return LazyTensors(entries)


def _open_torch(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: holds more than tensors, and code in a file is never run") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a whole torch file ({error})") from error


def _held(tensor: Tensor) -> Lazy:
    return Lazy(what=shape_of(tensor), make=lambda: tensor)


def _cast(entry: Lazy, dtype: torch.dtype) -> Lazy:
    if not entry.what.dtype.is_floating_point or entry.what.dtype == dtype:
        return entry
    return Lazy(what=replace(entry.what, dtype=dtype), make=lambda: entry.make().to(dtype))
