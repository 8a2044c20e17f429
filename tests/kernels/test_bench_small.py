"""The benchmarks of thresholding, pooling and rotating check what they time, and say how many bytes it takes."""

import pytest
import torch

from kernels.bench.cases import CASES, ClipCase
from kernels.bench.suite import SUITE, benchmark
from kernels.bench.threshold import cases
from kernels.bench.work import Setting

CLIPS = [case.name for case in CASES.values() if isinstance(case, ClipCase)]


def works(kernel: str, case: str, width: int = 2) -> list:
    return list(benchmark(kernel)(Setting(device="cpu", dtype=torch.float32, width=width, cases=(case,))))


@pytest.mark.parametrize("case", CLIPS)
def test_pooling(case: str) -> None:
    forward, *winners, backward = works("pool", case)
    assert [work.direction for work in winners] == (["winners"] if "max" in case else [])
    assert set(forward.calls) == {"transformers", "eager", "channels last", "pack", "cpu"}
    pooled = 196 if "27" in case else 144
    source = 729 if "27" in case else 576
    assert forward.moved_bytes == 32 * (source + pooled) * 2 * 4
    # the winners, a byte each
    assert backward.moved_bytes == forward.moved_bytes + (32 * pooled * 2 if winners else 0)
    for work in winners:
        assert work.moved_bytes == backward.moved_bytes and set(work.calls) == set(forward.calls)
        assert all(call().requires_grad for call in work.calls.values())
    expected = forward.calls["eager"]()
    torch.testing.assert_close(forward.calls["cpu"](), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(backward.calls["cpu"](), backward.calls["eager"](), rtol=0, atol=1e-5)


def test_thresholding() -> None:
    # three of the eight images are larger than their target
    assert [case.out for case in cases()] == [(62, 104), (70, 93), (93, 70)]
    forward, backward = works("threshold", "threshold-4000x3000")
    # every token of the crop is read; all of 5 x 6 tiles get a gradient
    assert forward.moved_bytes == (121 * 162 + 70 * 93) * 2 * 4
    assert backward.moved_bytes == (30 * 729 + 70 * 93) * 2 * 4
    torch.testing.assert_close(backward.calls["cpu"](), backward.calls["eager"](), rtol=0, atol=1e-5)


def test_rotating() -> None:
    forward, backward = works("rope", "rope-1x2880-14-2-heads")
    assert set(forward.calls) == {"transformers", "cpu", "in place"} and set(backward.calls) == {"transformers", "cpu"}
    numbers = 2880 * 16 * 64
    assert forward.moved_bytes == (2 * numbers + 2 * 2880 * 32) * 4
    for mine, theirs in zip(backward.calls["cpu"](), backward.calls["transformers"](), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_what_needs_a_gpu_is_left_out_elsewhere() -> None:
    assert works("rope", "rope-8x8192-32-heads") == []
    assert {"threshold", "pool", "rope"} < set(SUITE)
