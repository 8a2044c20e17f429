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
    """Registers of a thread, and the bytes (NVIDIA) or registers (AMD) that the kernel spills."""

    registers: int
    spilled: int


def resources(code: CompiledKernel, target: str, folder: Path) -> Resources:
    """Return what the vendor's assembler (NVIDIA) or the compiler (AMD) says that the kernel takes."""
    if target.startswith("gfx"):
        text = code.asm["amdgcn"]
        registers = int(re.search(r"\.vgpr_count:\s*(\d+)", text)[1])
        counts = re.findall(r"\.[sv]gpr_spill_count:\s*(\d+)", text)
        assert len(counts) == 2
        return Resources(registers, sum(map(int, counts)))
    assembler = "ptxas-blackwell" if target == "sm_100" else "ptxas"
    (folder / "kernel.ptx").write_text(code.asm["ptx"])
    arch = re.search(r"\.target (\w+)", code.asm["ptx"])[1]
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    command = [tools / assembler, "-v", f"--gpu-name={arch}", folder / "kernel.ptx", "-o", folder / "kernel.cubin"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report).groups()
    return Resources(int(re.search(r"Used (\d+) registers", report)[1]), int(stores) + int(loads))


def instructions(code: CompiledKernel, folder: Path) -> int:
    """Return how many instructions NVIDIA's machine code holds, in all branches together."""
    (folder / "kernel.cubin").write_bytes(code.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm"
    text = subprocess.run([tool, "-c", folder / "kernel.cubin"], capture_output=True, text=True, check=True).stdout
    return len(re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+\S", text, re.MULTILINE))


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
