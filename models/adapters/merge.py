"""Add low-rank weights to a checkpoint: W + scale * B A in float32, one tensor at a time, in W's dtype.

Legend: R rank, I in, O out, K end vectors, D language model width.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from models.adapters.folder import Adapter, Pair
from models.checkpoints.ends import TABLE
from models.checkpoints.format import Checkpoint
from models.checkpoints.rename import Layout, rename
from models.checkpoints.save import DTYPES
from models.checkpoints.tensors import LazyTensors, lazily


def merged(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """Return a checkpoint with an adapter's weights merged in; each tensor is computed when it is asked for.

    Raises ValueError naming the tensor and the file: one whose module the checkpoint does not have, a module of the
    language model that the config targets and the file lacks, or shapes that do not fit.
    """
    tensors = lazily(checkpoint.tensors)
    weights = {f"{module}.weight": pair for module, pair in adapter.pairs.items()}
    layout, names = _places([*weights, *adapter.whole], tensors, adapter)
    _check_complete(adapter, tensors, layout)
    whole = adapter.whole.cast(DTYPES[checkpoint.spec.dtype])
    for key in (key for key in whole if key in names):
        tensors = _put(tensors, names[key], whole, key, adapter)
    for key, pair in weights.items():
        tensors = _added(tensors, names[key], pair, key.removesuffix(".weight"), adapter)
    return replace(checkpoint, tensors=tensors)


def add_low_rank(weight_OI: Tensor, down_RI: Tensor, up_OR: Tensor, scale: float) -> Tensor:
    """Return W + scale * (B A), computed in float32 and rounded once to W's dtype."""
    return (weight_OI.float() + scale * (up_OR.float() @ down_RI.float())).to(weight_OI.dtype)


def _places(keys: Iterable[str], tensors: LazyTensors, adapter: Adapter) -> tuple[Layout, dict[str, str]]:
    """Return the layout that the adapter's names follow, and the run folder name of each.

    Names of several layouts look alike ("model." begins most of them): the one counts whose every name the checkpoint
    has. Raises ValueError with the names that no layout explains.
    """
    keys = list(keys)
    rows = tensors.what(TABLE).shape[0] if TABLE in tensors else 0
    known = {*tensors, *(f"{TABLE}.{row}" for row in range(rows))}
    least: list[str] = keys
    for layout in get_args(Layout):
        names, unknown = _rename(keys, layout, known)
        if not unknown:
            return layout, names
        least = min(least, unknown, key=len)
    raise ValueError(
        f"{adapter.file}: {len(least)} tensors are for modules that the base does not have: {', '.join(least[:3])}"
    )


def _rename(keys: list[str], layout: Layout, known: set[str]) -> tuple[dict[str, str], list[str]]:
    names: dict[str, str] = {}
    unknown = []
    for key in keys:
        try:
            names |= rename([key], layout, "anyres")
        except ValueError:
            unknown.append(key)
            continue
        if key in names and names[key] not in known:
            unknown.append(key)
    return names, unknown


def _check_complete(adapter: Adapter, tensors: LazyTensors, layout: Layout) -> None:
    """Raise ValueError when a module of the language model is targeted and has no pair: a file cut short."""
    ours = [key for key in tensors if key.startswith("llm.model.layers.") and key.endswith(".weight")]
    modules = [key.removesuffix(".weight") for key in rename(ours, "anyres", layout).values()]
    missing = [one for one in modules if adapter.config.targets_module(one) and one not in adapter.pairs]
    if missing:
        raise ValueError(
            f"{adapter.file}: {len(missing)} modules that the config targets have no lora_A and lora_B: "
            f"{', '.join(missing[:3])}"
        )


def _put(tensors: LazyTensors, name: str, whole: LazyTensors, key: str, adapter: Adapter) -> LazyTensors:
    """Return the tensors with one of them, or one row of the end vectors, replaced."""
    shape = whole.what(key).shape
    if name in tensors:
        _expect(shape, tensors.what(name).shape, key, adapter)
        return tensors.joined(whole.renamed({key: name}))
    table = tensors.what(TABLE).shape
    _expect(shape, table[1:], key, adapter)
    row = int(name.removeprefix(f"{TABLE}."))
    return tensors.changed(TABLE, table, partial(_with_row, row=row, whole=whole, key=key))


def _with_row(table_KD: Tensor, row: int, whole: Mapping[str, Tensor], key: str) -> Tensor:
    return torch.cat([table_KD[:row], whole[key][None].to(table_KD.dtype), table_KD[row + 1 :]])


def _added(tensors: LazyTensors, name: str, pair: Pair, module: str, adapter: Adapter) -> LazyTensors:
    shape = tensors.what(name).shape
    low_rank = (adapter.tensors.what(pair.up).shape[0], adapter.tensors.what(pair.down).shape[1])
    _expect(low_rank, shape, f"{pair.up} @ {pair.down}", adapter)
    scale = adapter.config.scale_of(module)
    return tensors.changed(name, shape, partial(_with_low_rank, pair=pair, adapter=adapter, scale=scale))


def _with_low_rank(weight_OI: Tensor, pair: Pair, adapter: Adapter, scale: float) -> Tensor:
    return add_low_rank(weight_OI, adapter.tensors[pair.down], adapter.tensors[pair.up], scale)


def _expect(found: tuple[int, ...], expected: tuple[int, ...], what: str, adapter: Adapter) -> None:
    if found != expected:
        raise ValueError(f"{adapter.file}: {what} is {list(found)}, the base's is {list(expected)}")
