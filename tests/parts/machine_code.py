"""What a kernel's machine code holds, read without a GPU."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}


class Resources(NamedTuple):
    """Registers of a thread, and the bytes of memory (NVIDIA) or registers (AMD) that the kernel spills into."""

    registers: int
    spilled: int


def resources(code: CompiledKernel, target: str, folder: Path) -> Resources:
    """Return what the kernel takes, by its machine code (NVIDIA) or by what the compiler notes in it (AMD)."""
    if target.startswith("gfx"):
        text = code.asm["amdgcn"]
        registers = int(re.search(r"\.vgpr_count:\s*(\d+)", text)[1])
        counts = re.findall(r"\.[sv]gpr_spill_count:\s*(\d+)", text)
        assert len(counts) == 2
        return Resources(registers, sum(map(int, counts)))
    # what is not held in registers lies on the stack
    report = _told("cuobjdump", "-res-usage", code, folder)
    registers, stack, local = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", report).groups()
    return Resources(int(registers), int(stack) + int(local))


def instructions(code: CompiledKernel, folder: Path) -> int:
    """Return how many instructions NVIDIA's machine code holds, in all branches together."""
    text = _told("nvdisasm", "-c", code, folder)
    return len(re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+\S", text, re.MULTILINE))


def _told(tool: str, option: str, code: CompiledKernel, folder: Path) -> str:
    """Return what one of NVIDIA's tools, which come with triton, says of the machine code."""
    file = folder / "kernel.cubin"
    file.write_bytes(code.asm["cubin"])
    command = [Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / tool, option, file]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


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
