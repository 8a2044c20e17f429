"""Packing, forward and backward: eight mixed images under two presets, and a clip under three poolings.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens.
"""

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kernels.bench.cases import CASES, ClipCase, ImageCase
from kernels.bench.peers import eager_merge, transformers_merge
from kernels.bench.verify import checked, gradient_of
from kernels.bench.work import Setting, Work
from kernels.pack.op import pack
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable

Packer = Callable[[Tensor, Tensor], Tensor]


def works(setting: Setting) -> Iterator[Work]:
    """Give each case's packing, then its gradients."""
    for case in CASES.values():
        if setting.wants(case.name):
            yield from _case(case, setting)


def inputs(case: ImageCase | ClipCase, table: PackTable, setting: Setting) -> tuple[Tensor, Tensor]:
    """Return normally distributed features [N, P, D] and end vectors [1, D]."""
    generator = torch.Generator().manual_seed(0)
    shape = (table.num_source // case.tok**2, case.tok**2, setting.width)
    features_NPD = torch.randn(shape, generator=generator).to(setting.device, setting.dtype)
    return features_NPD, torch.randn(1, setting.width, generator=generator).to(setting.device, setting.dtype)


def moved_rows(table: PackTable) -> int:
    """Return the rows to be moved: each source token in use read once, each packed token written once."""
    gather = table.gather()
    read = torch.cat([gather.taps.index_X, gather.peaks_ZB[gather.peaks_ZB >= 0]]).unique()
    return len(read) + table.num_tokens


def _case(case: ImageCase | ClipCase, setting: Setting) -> Iterator[Work]:
    table = case.table().prepare(backward=True).to(setting.device)
    features, ends = inputs(case, table, setting)
    packers = _packers(case, table, setting)
    expected = pack_reference(features, ends, table)
    calls = {name: bound(packer, features, ends) for name, packer in packers.items()}
    calls, left_out = checked(calls, expected)
    del expected
    shared = {
        "kernel": "pack",
        "case": case.name,
        "width": setting.width,
        "dtype": setting.dtype,
        "shape": f"{table.num_source} -> {table.num_tokens} tokens",
        "peer": "transformers",
    }
    row_bytes = setting.width * setting.dtype.itemsize
    forward_bytes = moved_rows(table) * row_bytes
    yield Work(**shared, direction="forward", calls=calls, moved_bytes=forward_bytes, left_out=left_out)
    if table.num_ends:
        # every source token's gradient is written
        grad = torch.randn(table.num_tokens, setting.width, generator=torch.Generator().manual_seed(1)).to(features)
        kept = gradients({name: packers[name] for name in calls}, features, ends, grad)
        expected = gradient_of(lambda exact: pack_reference(exact, ends.float(), table), features, grad)
        calls, left_out = checked(kept, expected.flatten(0, 1), of_features)
        del expected
        yield Work(
            **shared,
            direction="backward",
            calls=calls,
            moved_bytes=(table.num_tokens + table.num_source) * row_bytes,
            left_out=left_out,
        )


def _packers(case: ImageCase | ClipCase, table: PackTable, setting: Setting) -> dict[str, Packer]:
    packers: dict[str, Packer] = {
        "transformers": lambda f, e: transformers_merge(case, f, e[0]),
        "eager": lambda f, e: eager_merge(case, f, e[0]),
        setting.ours: lambda f, e: pack(f, e, table),
    }
    if setting.device == "cuda":
        packers["compiled"] = torch.compile(lambda f, e: eager_merge(case, f, e[0]), dynamic=False)
    return packers


def bound(packer: Packer, features: Tensor, ends: Tensor) -> Callable[[], Tensor]:
    """Return a function of nothing that packs, without a graph for gradients."""

    def call() -> Tensor:
        with torch.no_grad():
            return packer(features, ends)

    return call


def gradients(
    packers: dict[str, Packer], features: Tensor, ends: Tensor, grad: Tensor
) -> dict[str, Callable[[], object]]:
    """Return what computes each packer's gradients, of features and ends, from that of its output.

    The first call packs, which is not repeated.
    """
    leaves = (features.detach().requires_grad_(), ends.detach().requires_grad_())
    calls: dict[str, Callable[[], object]] = {}
    for name, packer in packers.items():
        packed = functools.cache(lambda packer=packer: packer(*leaves))
        calls[name] = lambda packed=packed: torch.autograd.grad(packed(), leaves, grad, retain_graph=True)
    return calls


def of_features(call: Callable[[], object]) -> Tensor:
    """Return the gradient [N P, D] of the features among those that a call gives."""
    grad_features_NPD, *_ = call()
    return grad_features_NPD.flatten(0, 1)
