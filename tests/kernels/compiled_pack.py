"""The Triton kernels' machine code, compiled ahead of time for GPUs that need not be there.

test_pack_triton.py runs this file in a process of its own: kernels that are interpreted cannot be compiled.
"""

import re
from pathlib import Path

import pytest
import triton
from machine_code import TARGETS, instructions, resources, wide_accesses
from triton.compiler import ASTSource, CompiledKernel

from kernels.pack import kernel
from kernels.pack.launch import checked, tile_shape

POINTERS = {
    "pack_forward_kernel": (
        *("features", "ends", "segments", "segment_of", "out", "winners"),
        *("visual", "words", "ids"),
    ),
    "pack_grad_features_kernel": (
        *("grad", "ptr", "index", "weight", "out"),
        *("peak_ptr", "peak_index", "peak_place", "winners", "row", "place"),
    ),
    "pack_grad_ends_kernel": ("grad", "end_ptr", "end_row", "row", "place", "out"),
}
NUMBERS = {"bf16": 2, "fp16": 2, "fp32": 4}
INT32 = {
    *("segments", "segment_of", "ptr", "index", "end_ptr", "end_row", "peak_ptr", "peak_index", "peak_place"),
    *("row", "place"),
}
INT64 = {"visual", "ids"}
SWITCHES = {
    "pack_forward_kernel": ("RESAMPLED", "BLOCKS", "PEAKS", "WINNERS", "PLACED", "WORDS"),
    "pack_grad_features_kernel": ("WINNERS", "PLACED"),
    "pack_grad_ends_kernel": ("PLACED",),
}
# what a batch uses: copies only, resampling, means of blocks, largest of blocks, those with their winners for the
# gradient; placed in the language model's inputs, with the words looked up
USES = {
    "copies": (),
    "resampled": ("RESAMPLED",),
    "means": ("BLOCKS",),
    "largest": ("BLOCKS", "PEAKS"),
    "winners": ("RESAMPLED", "BLOCKS", "PEAKS", "WINNERS"),
    "placed": ("PLACED",),
    "copies, embeds": ("PLACED", "WORDS"),
    "embeds": ("RESAMPLED", "PLACED", "WORDS"),
    "winners, embeds": ("RESAMPLED", "BLOCKS", "PEAKS", "WINNERS", "PLACED", "WORDS"),
}


def compiled(
    name: str, dtype: str, width: int, target: str, aligned: bool = True, use: str = "resampled", **options: int
) -> CompiledKernel:
    """Compile one kernel as its launcher would for contiguous tensors (torch aligns their first number)."""
    function = getattr(kernel, name)
    blocks = name == "pack_forward_kernel" and "BLOCKS" in USES[use]
    rows, block, warps = tile_shape(width, NUMBERS[dtype], blocks=blocks, lanes=TARGETS[target].warp_size)
    constants = {"D": width, "ROWS": rows, "BLOCK": block}
    if name == "pack_grad_ends_kernel":
        constants, warps = {"D": width, "ROWS": 32, "BLOCK": min(block, 64), "SPLITS": 8}, 4
    constants |= {switch: switch in USES[use] for switch in SWITCHES[name]}
    signature = {}
    for argument in function.arg_names:
        pointer = argument.removesuffix("_ptr")
        if argument in constants:
            signature[argument] = "constexpr"
        elif pointer not in POINTERS[name]:
            signature[argument] = "i32"
        elif pointer in INT32 or pointer in INT64:
            signature[argument] = "*i32" if pointer in INT32 else "*i64"
        elif pointer == "winners":
            signature[argument] = "*u8"
        else:
            exact = pointer == "weight" or (name == "pack_grad_ends_kernel" and pointer == "out")
            signature[argument] = "*fp32" if exact else f"*{dtype}"
    places = [place for place, argument in enumerate(function.arg_names) if signature[argument].startswith("*")]
    attributes = {(place,): [["tt.divisibility", 16]] for place in places} if aligned else {}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=TARGETS[target], options={"num_warps": warps, **options})


def spilled(code: CompiledKernel, target: str, folder: Path) -> int:
    """Return the bytes (NVIDIA) or registers (AMD) that the kernel spills."""
    return resources(code, target, folder).spilled


EVERYWHERE = [
    *(("pack_forward_kernel", "bf16", 4096, use) for use in ("copies", "resampled", "winners", "embeds")),
    *(("pack_grad_features_kernel", "bf16", 4096, use) for use in ("resampled", "placed")),
    *((name, "bf16", 4096, "winners, embeds") for name in ("pack_forward_kernel", "pack_grad_features_kernel")),
    ("pack_grad_ends_kernel", "bf16", 4096, "placed"),
]
# one of each vendor
SOMEWHERE = [
    *(("pack_forward_kernel", "bf16", 4096, use) for use in ("means", "largest", "copies, embeds")),
    *(("pack_forward_kernel", *rest, "embeds") for rest in (("fp16", 896), ("fp32", 1152))),
]
OF_EACH_VENDOR = ("sm_90", "gfx942")


@pytest.mark.parametrize(
    ("name", "dtype", "width", "use", "target"),
    [
        *((*compiles, target) for compiles in EVERYWHERE for target in TARGETS),
        *((*compiles, target) for compiles in SOMEWHERE for target in OF_EACH_VENDOR),
    ],
)
def test_no_spills_and_16_byte_accesses(
    name: str, dtype: str, width: int, use: str, target: str, tmp_path: Path
) -> None:
    code = compiled(name, dtype, width, target, use=use)
    loads, stores = wide_accesses(code, target)
    taken = resources(code, target, tmp_path)
    print(
        f"{name.removesuffix('_kernel')} {dtype} D={width} {use}, {target}: {taken.registers} registers, "
        f"{taken.spilled} spilled, {loads} loads and {stores} stores of 16 bytes"
    )
    assert taken.spilled == 0
    # three programs of 128 threads share a multiprocessor's 65,536 registers at least; of a wave of AMD's there are 512
    assert 0 < taken.registers <= 168
    assert loads > 0
    # a block of a vector's gradient is a sum over threads: 64 numbers, 4 bytes each
    assert stores > 0 or name == "pack_grad_ends_kernel"


@pytest.mark.parametrize("target", OF_EACH_VENDOR)
@pytest.mark.parametrize("name", POINTERS)
def test_odd_widths_compile_without_spills(name: str, target: str, tmp_path: Path) -> None:
    assert spilled(compiled(name, "fp16", 33, target, use="winners, embeds"), target, tmp_path) == 0


def test_the_check_of_spills_can_fail(tmp_path: Path) -> None:
    assert spilled(compiled("pack_forward_kernel", "bf16", 4096, "sm_90", maxnreg=32), "sm_90", tmp_path) > 0


def test_the_check_of_wide_accesses_can_fail() -> None:
    assert wide_accesses(compiled("pack_forward_kernel", "bf16", 4096, "sm_90", aligned=False), "sm_90") == (0, 0)


@pytest.mark.parametrize(
    ("name", "use", "expected"),
    [
        # a copy, an end vector, an output
        ("pack_forward_kernel", "copies", 3),
        # and four taps
        ("pack_forward_kernel", "resampled", 7),
        # and a word
        ("pack_forward_kernel", "embeds", 8),
        # a load and an output
        ("pack_grad_features_kernel", "resampled", 2),
        ("pack_grad_features_kernel", "placed", 2),
        ("pack_grad_ends_kernel", "resampled", 1),
        ("pack_grad_ends_kernel", "placed", 1),
    ],
)
def test_offsets_into_rows_are_64_bit(name: str, use: str, expected: int) -> None:
    """Every block of numbers (features, ends, words, gradients, outputs) is addressed by 64-bit offsets."""
    text = compiled(name, "bf16", 4096, "sm_90", use=use).asm["ttir"]
    blocks = re.findall(r"tt\.addptr .* : tensor<\d+x\d+x!tt\.ptr<bf16>>, tensor<\d+x\d+x(i\d+)>", text)
    assert blocks == ["i64"] * expected


def test_rows_are_read_by_few_warps() -> None:
    """64 bytes a thread, one row: what every warp works out anew is shared by as many bytes as registers allow."""
    # (rows, channels, warps) of a program, by width and bytes of a number
    assert tile_shape(4096, 2, lanes=32) == (1, 4096, 4)
    assert tile_shape(4096, 4, lanes=32) == (1, 2048, 4)
    assert tile_shape(896, 2, lanes=32) == (1, 1024, 1)
    assert tile_shape(64, 2, lanes=32) == (16, 64, 1)
    assert tile_shape(4096, 2, blocks=True, lanes=32) == (1, 2048, 4)
    # AMD's 64 lanes
    assert tile_shape(4096, 2, lanes=64) == (1, 4096, 2)
    # not whole 16-byte words
    assert tile_shape(33, 2, lanes=32) == (8, 64, 4)


def test_launches_beyond_a_gpus_limits_are_refused() -> None:
    assert checked((2**31 - 1, 65_535)) == (2**31 - 1, 65_535)
    for grid, rows in (((2**31, 1), 1), ((1, 65_536), 1), ((1, 1, 65_536), 1), ((2**27, 1), 16)):
        with pytest.raises(ValueError, match="more than a GPU takes"):
            checked(grid, rows)


@pytest.mark.parametrize(
    ("resampled", "copied", "rows", "most"),
    # 8 images of next-336 and of onevision-384-max-9: tokens, rows read and written
    [(0, 15_554, 30_818, 0.5), (62 * 104 + 2 * 70 * 93, 16_293, 101_749, 0.7)],
)
def test_issuing_takes_less_time_than_the_bytes(
    resampled: int, copied: int, rows: int, most: float, tmp_path: Path
) -> None:
    """Instructions take a part of the time that an H200 takes for the bytes (4.3 TB/s), at four a cycle, 1.755 GHz.

    A token that is resampled is taken to run through all that the kernel holds, a copied one through what the kernel of
    copies alone holds.
    """
    warps = tile_shape(4096, 2, lanes=32)[2]
    of_token = [
        instructions(compiled("pack_forward_kernel", "bf16", 4096, "sm_90", use=use), tmp_path)
        for use in ("resampled", "copies")
    ]
    issued = warps * (of_token[0] * resampled + of_token[1] * copied)
    assert issued / (132 * 4 * 1.755e9) < most * rows * 4096 * 2 / 4.3e12
