"""The rotary embedding with linearly scaled positions, forward and backward, queries and keys together.

"triton" or "cpu" gives new tensors, "in place" writes into those it gets. Liger's kernel takes part on a GPU where it
is installed.

Legend: B rows, H query heads, G key heads, L positions, D head width, R = D / 2.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from kernels.bench.verify import checked, gradient_of
from kernels.bench.work import Setting, Work
from kernels.rope.op import rope, rope_
from kernels.rope.reference import rope_reference
from kernels.rope.tables import RopeSpec, frequencies, rope_tables

Rotate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeCase:
    """Queries and keys of one layer. device: where the case is timed, "" for anywhere."""

    name: str
    rows: int
    length: int
    heads: int
    kv_heads: int
    width: int
    device: str = ""


CASES = (
    RopeCase(name="rope-8x8192-32-heads", rows=8, length=8192, heads=32, kv_heads=32, width=128, device="cuda"),
    RopeCase(name="rope-8x8192-28-4-heads", rows=8, length=8192, heads=28, kv_heads=4, width=128, device="cuda"),
    RopeCase(name="rope-1x2880-32-heads", rows=1, length=2880, heads=32, kv_heads=32, width=128),
    RopeCase(name="rope-1x2880-14-2-heads", rows=1, length=2880, heads=14, kv_heads=2, width=64),
)


def works(setting: Setting) -> Iterator[Work]:
    """Give each case's rotation, then its gradient. The setting's width is not looked at: heads have their own."""
    for case in CASES:
        if setting.wants(case.name) and case.device in ("", setting.device):
            yield from _case(case, setting)


def _case(case: RopeCase, setting: Setting) -> Iterator[Work]:
    generator = torch.Generator().manual_seed(0)
    # as projections leave them
    q, k = (
        torch.randn(case.rows, case.length, heads, case.width, generator=generator)
        .to(setting.device, setting.dtype)
        .transpose(1, 2)
        for heads in (case.heads, case.kv_heads)
    )
    spec = RopeSpec(kind="linear", theta=1e4, width=case.width, factor=2.0)
    tables = rope_tables(torch.arange(case.length, device=setting.device)[None], frequencies(spec))
    rotations = _rotations(tables, setting)
    expected = _rows(*(rope_reference(x, *tables) for x in (q, k)))
    checks, left_out = checked({name: _once(rotate, q, k) for name, rotate in rotations.items()}, expected)
    del expected
    shared = {
        "kernel": "rope",
        "case": case.name,
        "width": case.heads * case.width,
        "dtype": setting.dtype,
        "shape": f"[{case.rows}, {case.heads} and {case.kv_heads}, {case.length}, {case.width}]",
        "peer": "transformers",
        "moved_bytes": 2 * (q.numel() + k.numel()) * setting.dtype.itemsize + 2 * tables[0].numel() * 4,
    }
    calls = {name: _bound(rotations[name], q, k) for name in checks}
    yield Work(**shared, direction="forward", calls=calls, left_out=left_out)
    # in place there would be nothing left to rotate
    kept = [name for name in checks if name not in ("in place", "liger")]
    leaves = (q.requires_grad_(), k.requires_grad_())
    grads = tuple(torch.randn(x.shape, generator=generator).to(x) for x in (q, k))
    of_reference = (
        gradient_of(lambda x: rope_reference(x, *tables), x, grad) for x, grad in zip(leaves, grads, strict=True)
    )
    gradients = {name: _gradient(rotations[name], leaves, grads) for name in kept}
    calls, left_out = checked(gradients, _rows(*of_reference), lambda call: _rows(*call()))
    yield Work(**shared, direction="backward", calls=calls, left_out=left_out)


def _rotations(tables: tuple[Tensor, Tensor], setting: Setting) -> dict[str, Rotate]:
    # transformers' tables: both channels of a pair, in the queries' dtype
    cos, sin = (torch.cat([table, table], dim=-1).to(setting.dtype) for table in tables)
    rotations: dict[str, Rotate] = {
        "transformers": lambda q, k: apply_rotary_pos_emb(q, k, cos, sin),
        setting.ours: lambda q, k: rope(q, k, *tables),
        "in place": lambda q, k: rope_(q, k, *tables),
    }
    if setting.device == "cuda":
        rotations["compiled"] = torch.compile(lambda q, k: apply_rotary_pos_emb(q, k, cos, sin), dynamic=False)
        if find_spec("liger_kernel"):
            rotations["liger"] = lambda q, k: _liger(q, k, cos, sin)
    return rotations


def _liger(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    # imported when called: a version that does not go with this triton is left out and the others are timed
    from liger_kernel.transformers.rope import liger_rotary_pos_emb

    return liger_rotary_pos_emb(q, k, cos, sin)


def _rows(q_BHLD: Tensor, k_BGLD: Tensor) -> Tensor:
    """Return all heads' rows [X, D], for one comparison."""
    return torch.cat([x.reshape(-1, x.shape[-1]) for x in (q_BHLD, k_BGLD)])


def _once(rotate: Rotate, q: Tensor, k: Tensor) -> Callable[[], Tensor]:
    # a copy, for those that write in place
    return lambda: _rows(*rotate(q.clone(), k.clone()))


def _bound(rotate: Rotate, q: Tensor, k: Tensor) -> Callable[[], object]:
    def call() -> object:
        with torch.no_grad():
            return rotate(q.detach(), k.detach())

    return call


def _gradient(rotate: Rotate, leaves: tuple[Tensor, Tensor], grads: tuple[Tensor, ...]) -> Callable[[], object]:
    # rotated by the first call
    turned = functools.cache(lambda: rotate(*leaves))
    return lambda: torch.autograd.grad(turned(), leaves, grads, retain_graph=True)
