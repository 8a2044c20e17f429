"""Frame pooling, forward and backward: 32 frames by their means, their largest, and bilinearly.

Legend: F frames, P tokens per frame, D width, T pooled tokens.
"""

import functools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from kernels.bench.cases import CASES, ClipCase
from kernels.bench.peers import eager_merge, transformers_merge
from kernels.bench.verify import checked, gradient_of
from kernels.bench.work import Setting, Work
from kernels.pack.op import pack
from kernels.pool.op import pool
from kernels.pool.reference import pool_reference

Pooler = Callable[[Tensor], Tensor]


def works(setting: Setting) -> Iterator[Work]:
    """Give each clip's pooling, of the largest also with what its gradient needs, then the gradient."""
    for case in CASES.values():
        if isinstance(case, ClipCase) and setting.wants(case.name):
            yield from _case(case, setting)


def _case(case: ClipCase, setting: Setting) -> Iterator[Work]:
    shape = (case.frames, case.tok**2, setting.width)
    frames = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(setting.device, setting.dtype)
    poolers = _poolers(case, setting)
    calls = {name: _bound(pooler, frames) for name, pooler in poolers.items()}
    calls, left_out = checked(calls, _reference(case, frames))
    source, pooled = case.frames * case.tok**2, case.frames * case.out_tok**2
    shared = {
        "kernel": "pool",
        "case": case.name,
        "width": setting.width,
        "dtype": setting.dtype,
        "shape": f"{source} -> {pooled} tokens",
        "peer": "transformers",
    }
    row_bytes = setting.width * setting.dtype.itemsize
    moved_bytes = (source + pooled) * row_bytes
    yield Work(**shared, direction="forward", calls=calls, moved_bytes=moved_bytes, left_out=left_out)
    leaf = frames.requires_grad_()
    if case.reduce == "max":
        # as in training: what the gradient needs is written down, a byte a number at least
        with_winners = {name: (lambda name=name: poolers[name](leaf)) for name in calls}
        moved_bytes += pooled * setting.width
        yield Work(**shared, direction="winners", calls=with_winners, moved_bytes=moved_bytes)
    grad = torch.randn(pooled, setting.width, generator=torch.Generator().manual_seed(1)).to(frames)
    expected = gradient_of(lambda exact: _reference(case, exact), frames, grad)
    gradients = {name: _gradient(poolers[name], leaf, grad) for name in calls}
    calls, left_out = checked(gradients, expected.flatten(0, 1), lambda call: call()[0].flatten(0, 1))
    del expected
    yield Work(**shared, direction="backward", calls=calls, moved_bytes=moved_bytes, left_out=left_out)


def _reference(case: ClipCase, frames_FPD: Tensor) -> Tensor:
    return pool_reference(frames_FPD.unflatten(1, (case.tok, case.tok)), 2, case.reduce).flatten(0, 2)


def _poolers(case: ClipCase, setting: Setting) -> dict[str, Pooler]:
    table = case.table().prepare(backward=True).to(setting.device)
    ends = torch.zeros(1, setting.width, device=setting.device, dtype=setting.dtype)
    poolers: dict[str, Pooler] = {
        "transformers": lambda frames: transformers_merge(case, frames, ends[0]),
        "eager": lambda frames: eager_merge(case, frames, ends[0]),
        "channels last": lambda frames: _channels_last(case, frames),
        "pack": lambda frames: pack(frames, ends, table),
        setting.ours: lambda frames: pool(frames.unflatten(1, (case.tok, case.tok)), 2, case.reduce).flatten(0, 2),
    }
    if setting.device == "cuda":
        poolers["compiled"] = torch.compile(lambda frames: eager_merge(case, frames, ends[0]), dynamic=False)
    return poolers


def _channels_last(case: ClipCase, frames_FPD: Tensor) -> Tensor:
    """Return the pooled tokens [T, D] by torch's own pooling of a channels-last view: nothing is permuted."""
    view_FDHW = rearrange(frames_FPD, "f (h w) d -> f d h w", h=case.tok)
    if case.reduce == "bilinear":
        pooled_FDPQ = F.interpolate(view_FDHW, size=(case.out_tok, case.out_tok), mode="bilinear")
    else:
        pooled_FDPQ = (F.avg_pool2d if case.reduce == "average" else F.max_pool2d)(view_FDHW, 2)
    return rearrange(pooled_FDPQ, "f d p q -> (f p q) d")


def _bound(pooler: Pooler, frames: Tensor) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.no_grad():
            return pooler(frames)

    return call


def _gradient(pooler: Pooler, leaf: Tensor, grad: Tensor) -> Callable[[], object]:
    # pooled by the first call
    pooled = functools.cache(lambda: pooler(leaf))
    return lambda: torch.autograd.grad(pooled(), leaf, grad, retain_graph=True)
