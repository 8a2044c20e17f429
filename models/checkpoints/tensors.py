"""Tensors of a folder, read one at a time and written in shards. No code in a file is ever run."""

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
TORCH, TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SHARD_BYTES = 5 * 10**9


class LazyTensors(Mapping[str, Tensor]):
    """Names to tensors, each made when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, key: str) -> Tensor:
        return self._makers[key]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def renamed(self, names: Mapping[str, str]) -> "LazyTensors":
        """Return the tensors listed in `names` (here -> there) under their new names."""
        return LazyTensors({new: self._makers[old] for old, new in names.items()})

    def joined(self, other: Mapping[str, Tensor]) -> "LazyTensors":
        """Return these tensors and the other ones, which win."""
        return LazyTensors({**self._makers, **{key: _reader(other, key) for key in other}})


def lazily(tensors: Mapping[str, Tensor]) -> LazyTensors:
    """Return the same tensors, read when asked for."""
    return LazyTensors({}).joined(tensors)


def read_tensors(folder: Path) -> LazyTensors:
    """Return the weights of a folder: safetensors, else torch files read with weights_only; whole or in shards.

    Raises ValueError naming what was looked for, a shard that is missing, a file that is
    damaged, or a name outside the folder.
    """
    for index in (SAFETENSORS_INDEX, TORCH_INDEX):
        whole = SAFETENSORS if index == SAFETENSORS_INDEX else TORCH
        if (folder / index).is_file():
            return _read_files(folder, _shards(folder / index))
        if (folder / whole).is_file():
            return _read_files(folder, [whole])
    looked = ", ".join((SAFETENSORS, SAFETENSORS_INDEX, TORCH, TORCH_INDEX))
    raise ValueError(f"{folder}: no weights, looked for {looked}")


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int = SHARD_BYTES) -> None:
    """Write tensors as model.safetensors, or as numbered shards with an index when they exceed `shard_bytes`."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = _split(tensors, shard_bytes)
    if len(shards) == 1:
        _write(folder / SAFETENSORS, tensors, shards[0])
        return
    files: dict[str, str] = {}
    for number, keys in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write(folder / name, tensors, keys)
        files |= dict.fromkeys(keys, name)
    total = sum(tensors[key].nbytes for key in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": files}
    (folder / SAFETENSORS_INDEX).write_text(json.dumps(index, indent=1) + "\n")


def _split(tensors: Mapping[str, Tensor], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for key in tensors:
        nbytes = tensors[key].nbytes
        if shards[-1] and size + nbytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(key)
        size += nbytes
    return shards


def _write(path: Path, tensors: Mapping[str, Tensor], keys: list[str]) -> None:
    # written beside and renamed: a killed run leaves no half file under the final name
    part = path.with_suffix(".part")
    save_file({key: tensors[key].detach().cpu().contiguous() for key in keys}, part, metadata={"format": "pt"})
    part.replace(path)


def _shards(index: Path) -> list[str]:
    names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{index}: shard {name!r} is not a plain file name")
        if not (index.parent / name).is_file():
            raise ValueError(f"{index}: shard {name} is missing")
    return names


def _read_files(folder: Path, names: list[str]) -> LazyTensors:
    makers: dict[str, Callable[[], Tensor]] = {}
    for name in names:
        path = folder / name
        makers |= _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return LazyTensors(makers)


def _read_safetensors(path: Path) -> dict[str, Callable[[], Tensor]]:
    try:
        handle = safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from error
    return {key: lambda key=key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118


def _read_torch(path: Path) -> dict[str, Callable[[], Tensor]]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: holds more than tensors, and code in a file is never run") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a whole torch file ({error})") from error
    return {key: _reader(state, key) for key in state}


def _reader(tensors: Mapping[str, Tensor], key: str) -> Callable[[], Tensor]:
    return lambda: tensors[key]
