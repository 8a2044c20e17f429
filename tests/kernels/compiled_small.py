"""The machine code of thresholding, pooling and rotating, compiled ahead of time for GPUs that need not be there.

test_small_triton.py runs this file in a process of its own: kernels that are interpreted cannot be compiled.
"""

import re
from pathlib import Path

import pytest
import triton
from machine_code import TARGETS, resources, wide_accesses
from triton.compiler import ASTSource, CompiledKernel

from kernels.pack.launch import tile_shape
from kernels.pool.kernel import pool_forward_kernel, pool_grad_kernel
from kernels.rope.kernel import rope_kernel
from kernels.rope.launch import head_block
from kernels.threshold.kernel import threshold_forward_kernel, threshold_grad_kernel

KERNELS = {
    "threshold": (threshold_forward_kernel, {}),
    "threshold gradient": (threshold_grad_kernel, {"SPAN_H": 3, "SPAN_W": 3}),
    "mean": (pool_forward_kernel, {"STRIDE": 2, "LARGEST": False, "WINNERS": False}),
    "mean, stride 4": (pool_forward_kernel, {"STRIDE": 4, "LARGEST": False, "WINNERS": False}),
    "mean gradient": (pool_grad_kernel, {"STRIDE": 2, "WINNERS": False}),
    "largest": (pool_forward_kernel, {"STRIDE": 2, "LARGEST": True, "WINNERS": False}),
    "largest with winners": (pool_forward_kernel, {"STRIDE": 2, "LARGEST": True, "WINNERS": True}),
    "largest gradient": (pool_grad_kernel, {"STRIDE": 2, "WINNERS": True}),
}
# query heads, key heads, rotated channels, channels that are copied behind them
HEADS = {
    "7B": (32, 32, 128, 0),
    "grouped": (28, 4, 128, 0),
    "64 wide": (14, 2, 64, 0),
    "part of a head": (32, 32, 32, 48),
}
NUMBERS = {"bf16": 2, "fp16": 2, "fp32": 4}


def compiled(name: str, dtype: str, width: int, target: str, aligned: bool = True) -> CompiledKernel:
    """Compile one kernel as its launcher would for contiguous tensors (torch aligns their first number)."""
    function, switches = KERNELS[name]
    blocks = function in (pool_forward_kernel, pool_grad_kernel)
    tokens, block, warps = tile_shape(width, NUMBERS[dtype], blocks=blocks, lanes=TARGETS[target].warp_size)
    constants = {"D": width, "TOKENS": tokens, "BLOCK": block, **switches}
    signature = {}
    for argument in function.arg_names:
        kind = f"*{'u8' if argument == 'winners_ptr' else dtype}" if argument.endswith("_ptr") else "i32"
        signature[argument] = "constexpr" if argument in constants else kind
    return built(function, signature, constants, target, "_ptr" if aligned else "nothing", warps)


def compiled_rope(name: str, dtype: str, target: str, inverse: bool = False) -> CompiledKernel:
    """Compile the rotary kernel; strides are multiples of 16 numbers, as those of whole heads are."""
    q_heads, k_heads, rotated, rest = HEADS[name]
    lanes = TARGETS[target].warp_size
    heads, block, warps = head_block(max(q_heads, k_heads), rotated // 2, NUMBERS[dtype], lanes)
    constants = {
        "Q_HEADS": q_heads,
        "K_HEADS": k_heads,
        "HALF": rotated // 2,
        "REST": rest,
        "HEADS": heads,
        "BLOCK": block,
        "REST_BLOCK": max(triton.next_power_of_2(rest), 16),
        "SIGN": -1.0 if inverse else 1.0,
    }
    signature = {}
    for argument in rope_kernel.arg_names:
        number = "fp32" if argument in ("cos_ptr", "sin_ptr") else dtype
        strides = "i32" if argument == "length" else "i64"
        signature[argument] = f"*{number}" if argument.endswith("_ptr") else strides
        if argument in constants:
            signature[argument] = "constexpr"
    return built(rope_kernel, signature, constants, target, ("_ptr", "_row", "_head", "_position"), warps)


def built(
    function, signature: dict, constants: dict, target: str, aligned: str | tuple[str, ...], warps: int
) -> CompiledKernel:
    places = [place for place, name in enumerate(function.arg_names) if name.endswith(aligned)]
    attributes = {(place,): [["tt.divisibility", 16]] for place in places}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=TARGETS[target], options={"num_warps": warps})


def check(code: CompiledKernel, what: str, target: str, folder: Path, wide: bool = True) -> None:
    loads, stores = wide_accesses(code, target)
    taken = resources(code, target, folder)
    print(
        f"{what}, {target}: {taken.registers} registers, {taken.spilled} spilled, {loads} loads and {stores} stores "
        "of 16 bytes"
    )
    assert taken.spilled == 0
    assert 0 < taken.registers <= 168
    assert min(loads, stores) > 0 or not wide


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_no_spills_and_16_byte_accesses(name: str, target: str, tmp_path: Path) -> None:
    check(compiled(name, "bf16", 4096, target), f"{name} bf16 D=4096", target, tmp_path)


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
@pytest.mark.parametrize(("dtype", "width"), [("bf16", 896), ("fp32", 1152)])
@pytest.mark.parametrize("name", ["threshold", "mean"])
def test_other_widths(name: str, dtype: str, width: int, target: str, tmp_path: Path) -> None:
    check(compiled(name, dtype, width, target), f"{name} {dtype} D={width}", target, tmp_path)


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
@pytest.mark.parametrize("name", ["threshold gradient", "largest with winners"])
def test_odd_widths_compile_without_spills(name: str, target: str, tmp_path: Path) -> None:
    check(compiled(name, "fp16", 33, target), f"{name} fp16 D=33", target, tmp_path, wide=False)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", HEADS)
def test_rope(name: str, target: str, tmp_path: Path) -> None:
    # the gradient is the same code with another sign
    others = [("bf16", True), ("fp32", False)] if (name, target) in (("7B", "sm_90"), ("7B", "gfx942")) else []
    for dtype, inverse in [("bf16", False), *others]:
        check(compiled_rope(name, dtype, target, inverse), f"rope {name} {dtype}", target, tmp_path)


def test_the_check_of_wide_accesses_can_fail() -> None:
    assert wide_accesses(compiled("mean", "bf16", 4096, "sm_90", aligned=False), "sm_90") == (0, 0)


@pytest.mark.parametrize(
    ("name", "expected"), [("threshold", 5), ("threshold gradient", 4), ("largest", 5), ("mean gradient", 5)]
)
def test_offsets_into_rows_are_64_bit(name: str, expected: int) -> None:
    """Four taps (of a gradient: three, in a loop over rows) and an output; or a gradient and four outputs."""
    text = compiled(name, "bf16", 4096, "sm_90").asm["ttir"]
    blocks = re.findall(r"tt\.addptr .* : tensor<\d+x\d+x!tt\.ptr<bf16>>, tensor<\d+x\d+x(i\d+)>", text)
    assert blocks == ["i64"] * expected


def test_offsets_of_heads_are_64_bit() -> None:
    text = compiled_rope("7B", "bf16", "sm_90").asm["ttir"]
    heads = re.findall(r"tt\.addptr .* : tensor<\d+x1x!tt\.ptr<bf16>>, tensor<\d+x1x(i\d+)>", text)
    rows = re.findall(r"tt\.addptr .* : !tt\.ptr<bf16>, (i\d+)", text)
    # queries and keys, read and written
    assert heads == ["i64"] * 4 and set(rows) == {"i64"} and len(rows) >= 4
