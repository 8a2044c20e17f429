"""The benchmarks by kernel: "module:function", imported when asked for. A function maps a Setting to Works."""

from collections.abc import Callable, Iterator
from importlib import import_module

from kernels.bench.work import Setting, Work

SUITE: dict[str, str] = {
    "pack": "kernels.bench.pack:works",
    "embeds": "kernels.bench.embeds:works",
    "threshold": "kernels.bench.threshold:works",
    "pool": "kernels.bench.pool:works",
    "rope": "kernels.bench.rope:works",
}


def benchmark(kernel: str) -> Callable[[Setting], Iterator[Work]]:
    """Return a kernel's benchmark."""
    module, _, function = SUITE[kernel].partition(":")
    return vars(import_module(module))[function]
