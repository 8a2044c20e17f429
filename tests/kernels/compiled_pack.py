"""The Triton kernels' machine code, compiled ahead of time for GPUs that need not be there.

test_pack_triton.py runs this file in a process of its own: kernels that are interpreted cannot be compiled.
"""

import re
import subprocess
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from kernels.pack import kernel
from kernels.pack.launch import tile_shape

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
POINTERS = {
    "pack_forward_kernel": ("features", "ends", "segments", "segment_of", "out", "winners"),
    "pack_grad_features_kernel": (
        *("grad", "ptr", "index", "weight", "out"),
        *("peak_ptr", "peak_index", "peak_place", "winners"),
    ),
    "pack_grad_ends_kernel": ("grad", "end_ptr", "end_row", "out"),
}
NUMBERS = {"bf16": 2, "fp16": 2, "fp32": 4}
INTEGERS = {"segments", "segment_of", "ptr", "index", "end_ptr", "end_row", "peak_ptr", "peak_index", "peak_place"}
# what a batch uses: resampling only, means of blocks, largest of blocks, those with their winners for the gradient
USES = {
    "resampled": (),
    "means": ("BLOCKS",),
    "largest": ("BLOCKS", "PEAKS"),
    "winners": ("BLOCKS", "PEAKS", "WINNERS"),
}


def compiled(
    name: str, dtype: str, width: int, target: str, aligned: bool = True, use: str = "resampled"
) -> CompiledKernel:
    """Compile one kernel as its launcher would for contiguous tensors (torch aligns their first number)."""
    function = getattr(kernel, name)
    rows, block = tile_shape(width, NUMBERS[dtype])
    constants = {"D": width, "ROWS": rows, "BLOCK": block}
    if name == "pack_grad_ends_kernel":
        constants = {"D": width, "ROWS": 32, "BLOCK": min(block, 64), "SPLITS": 8}
    switches = {"pack_forward_kernel": ("BLOCKS", "PEAKS", "WINNERS"), "pack_grad_features_kernel": ("WINNERS",)}
    constants |= {switch: switch in USES[use] for switch in switches.get(name, ())}
    signature = {}
    for argument in function.arg_names:
        pointer = argument.removesuffix("_ptr")
        if argument in constants:
            signature[argument] = "constexpr"
        elif pointer not in POINTERS[name]:
            signature[argument] = "i32"
        elif pointer in INTEGERS:
            signature[argument] = "*i32"
        elif pointer == "winners":
            signature[argument] = "*u8"
        else:
            exact = pointer == "weight" or (name == "pack_grad_ends_kernel" and pointer == "out")
            signature[argument] = "*fp32" if exact else f"*{dtype}"
    places = [place for place, argument in enumerate(function.arg_names) if signature[argument].startswith("*")]
    attributes = {(place,): [["tt.divisibility", 16]] for place in places} if aligned else {}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=TARGETS[target], options={"num_warps": 4})


def spilled(code: CompiledKernel, target: str, folder: Path) -> int:
    """Return the bytes (NVIDIA) or registers (AMD) that the kernel spills, as the vendor's assembler reports them."""
    if target.startswith("gfx"):
        counts = re.findall(r"\.[sv]gpr_spill_count:\s*(\d+)", code.asm["amdgcn"])
        assert len(counts) == 2
        return sum(map(int, counts))
    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    (folder / "kernel.ptx").write_text(code.asm["ptx"])
    arch = re.search(r"\.target (\w+)", code.asm["ptx"])[1]
    command = [assembler, "-v", f"--gpu-name={arch}", folder / "kernel.ptx", "-o", folder / "kernel.cubin"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report).groups()
    return int(stores) + int(loads)


def wide_accesses(code: CompiledKernel, target: str) -> tuple[int, int]:
    """Return how many 16-byte loads and stores of global memory the code holds."""
    if target.startswith("gfx"):
        text = code.asm["amdgcn"]
        return len(re.findall(r"(?:global|buffer)_load_dwordx4", text)), len(
            re.findall(r"(?:global|buffer)_store_dwordx4", text)
        )
    text = code.asm["ptx"]
    wide = {kind: rf"{kind}\.global\S*\.(?:v4\.[bfu]32|v2\.[bfu]64|b128)" for kind in ("ld", "st")}
    return len(re.findall(wide["ld"], text)), len(re.findall(wide["st"], text))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "dtype", "width"),
    [
        *((name, "bf16", 4096) for name in POINTERS),
        *(("pack_forward_kernel", *rest) for rest in (("bf16", 896), ("fp32", 1152))),
    ],
)
def test_no_spills_and_16_byte_accesses(name: str, dtype: str, width: int, target: str, tmp_path: Path) -> None:
    code = compiled(name, dtype, width, target)
    loads, stores = wide_accesses(code, target)
    assert spilled(code, target, tmp_path) == 0
    assert loads > 0
    # a block of a vector's gradient is a sum over threads: 64 numbers, 4 bytes each
    assert stores > 0 or name == "pack_grad_ends_kernel"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "use"),
    [
        *(("pack_forward_kernel", use) for use in ("means", "largest", "winners")),
        ("pack_grad_features_kernel", "winners"),
    ],
)
def test_pooling_does_not_spill(name: str, use: str, target: str, tmp_path: Path) -> None:
    code = compiled(name, "bf16", 4096, target, use=use)
    loads, stores = wide_accesses(code, target)
    assert spilled(code, target, tmp_path) == 0
    assert min(loads, stores) > 0
    assert spilled(compiled(name, "fp16", 33, target, use=use), target, tmp_path) == 0


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", POINTERS)
def test_odd_widths_compile_without_spills(name: str, target: str, tmp_path: Path) -> None:
    assert spilled(compiled(name, "fp16", 33, target), target, tmp_path) == 0


def test_the_check_of_wide_accesses_can_fail() -> None:
    assert wide_accesses(compiled("pack_forward_kernel", "bf16", 4096, "sm_90", aligned=False), "sm_90") == (0, 0)


@pytest.mark.parametrize(
    ("name", "expected"), [("pack_forward_kernel", 7), ("pack_grad_features_kernel", 2), ("pack_grad_ends_kernel", 1)]
)
def test_offsets_into_rows_are_64_bit(name: str, expected: int) -> None:
    """Every block of numbers (features, ends, gradients, outputs) is addressed by 64-bit offsets."""
    text = compiled(name, "bf16", 4096, "sm_90").asm["ttir"]
    blocks = re.findall(r"tt\.addptr .* : tensor<\d+x\d+x!tt\.ptr<bf16>>, tensor<\d+x\d+x(i\d+)>", text)
    # forward: a copy, an end vector, four taps, an output; features' gradient: a load, an output; ends' one: a load
    assert blocks == ["i64"] * expected
