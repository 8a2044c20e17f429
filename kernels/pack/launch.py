"""Start the packing kernels: one launch each, none for an empty output.

Legend: M source tokens, D width, K end vectors, T packed tokens, S segments, C columns, R rows of the
output, V words.
"""

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from kernels.pack.kernel import pack_forward_kernel, pack_grad_ends_kernel, pack_grad_features_kernel
from kernels.pack.maps import InverseMap
from kernels.pack.places import Places

# threads of a warp
LANES = 64 if torch.version.hip else 32


class Words(NamedTuple):
    """Word vectors [V, D] in the output's dtype, and for each row which one it holds if it is text: int64 [R]."""

    words_VD: Tensor
    ids_R: Tensor


def launch_forward(
    features_MD: Tensor,
    ends_KD: Tensor,
    segments_SC: Tensor,
    segment_of_T: Tensor,
    out_RD: Tensor,
    winners_TD: Tensor,
    *,
    resampled: bool,
    blocks: bool,
    peaks: bool,
    visual_R: Tensor | None = None,
    words: Words | None = None,
) -> None:
    """Write the packed tokens into out_RD [R, D]; all tensors contiguous, on one device.

    resampled, blocks, peaks: of the table. winners_TD: uint8, gets the winners of blocks; empty where they are not
    wanted. visual_R: int64, the packed token of each row, -1 for text (rows of no such token or word are NaN); None
    for row t holding token t. words: what rows of text get; without them they stay as they are.
    """
    num_rows, width = out_RD.shape
    rows, block, warps = tile_shape(width, out_RD.element_size(), blocks=blocks)
    grid = checked((triton.cdiv(num_rows, rows), triton.cdiv(width, block)), rows)
    if min(grid) == 0:
        return
    # a row of text reads the first segment too
    segments_SC = segments_SC if len(segments_SC) else segments_SC.new_ones(1, segments_SC.shape[1])
    unused = segments_SC
    with torch.cuda.device_of(out_RD):
        pack_forward_kernel[grid](
            features_MD,
            ends_KD,
            segments_SC,
            segment_of_T,
            out_RD,
            winners_TD,
            unused if visual_R is None else visual_R,
            unused if words is None else words.words_VD,
            unused if words is None else words.ids_R,
            num_rows,
            len(segment_of_T),
            0 if words is None else len(words.words_VD),
            D=width,
            ROWS=rows,
            BLOCK=block,
            RESAMPLED=resampled,
            BLOCKS=blocks,
            PEAKS=peaks,
            WINNERS=len(winners_TD) > 0,
            PLACED=visual_R is not None,
            WORDS=words is not None,
            num_warps=warps,
        )


def launch_grad_features(
    grad_RD: Tensor, inverse: InverseMap, out_MD: Tensor, winners_TD: Tensor, places: Places | None = None
) -> None:
    """Write the gradient of the features into out_MD [M, D]; all tensors contiguous, on one device.

    winners_TD: what the forward kernel left, empty where no largest of a block was taken. places: the rows of each
    packed token; None for row t holding token t.
    """
    num_source, width = out_MD.shape
    rows, block, warps = tile_shape(width, out_MD.element_size())
    grid = checked((triton.cdiv(num_source, rows), triton.cdiv(width, block)), rows)
    if min(grid) == 0:
        return
    taps, peaks = inverse.taps, inverse.peaks
    with torch.cuda.device_of(out_MD):
        pack_grad_features_kernel[grid](
            grad_RD,
            taps.ptr_R1,
            taps.index_X,
            taps.weight_X,
            peaks.ptr_R1,
            peaks.index_X,
            peaks.weight_X,
            winners_TD,
            taps.ptr_R1 if places is None else places.row_R,
            taps.ptr_R1 if places is None else places.ptr_T1,
            out_MD,
            num_source,
            D=width,
            ROWS=rows,
            BLOCK=block,
            WINNERS=len(winners_TD) > 0,
            PLACED=places is not None,
            num_warps=warps,
        )


def launch_grad_ends(grad_RD: Tensor, inverse: InverseMap, out_SKD: Tensor, places: Places | None = None) -> None:
    """Write SPLITS partial gradients of the end vectors into out_SKD float32 [SPLITS, K, D]; they add up to it."""
    splits, num_ends, width = out_SKD.shape
    block = min(max(triton.next_power_of_2(width), 16), 64)
    grid = checked((num_ends, triton.cdiv(width, block), splits))
    if min(grid) == 0:
        return
    with torch.cuda.device_of(out_SKD):
        pack_grad_ends_kernel[grid](
            grad_RD,
            inverse.end_ptr_K1,
            inverse.end_row_E,
            inverse.end_row_E if places is None else places.row_R,
            inverse.end_row_E if places is None else places.ptr_T1,
            out_SKD,
            num_ends,
            D=width,
            ROWS=32,
            BLOCK=block,
            SPLITS=splits,
            PLACED=places is not None,
        )


def checked(grid: tuple[int, ...], rows: int = 1) -> tuple[int, ...]:
    """Return a launch grid that a GPU takes: up to 2^31 - 1 programs, of so many rows in all, and 65,535 on other axes.

    Raises ValueError for a larger one.
    """
    if grid[0] * rows >= 2**31 or max(grid[1:]) > 65_535:
        raise ValueError(f"kernels: a launch of {grid} programs of {rows} rows is more than a GPU takes")
    return grid


def tile_shape(width: int, itemsize: int, blocks: bool = False, lanes: int = LANES) -> tuple[int, int, int]:
    """Return (ROWS, BLOCK, warps) of a program: 64 bytes of a row a thread, one row, and up to four warps for it.

    Every warp works out anew what its row is made of, which are some 200 instructions, so it has to move many bytes;
    and rows of a program are worked out by all its warps. 1,024 bytes a warp where blocks are pooled too, for the
    registers. Rows that are not whole 16-byte words are read number by number: 512 numbers, or 256, in four warps.
    lanes: threads of a warp.
    """
    if width * itemsize % 16:
        numbers = 256 if blocks else 512
        block = min(max(triton.next_power_of_2(width), 16), numbers)
        return min(numbers // block, 32), block, 4
    # numbers of a warp
    numbers = (1024 if blocks else 64 * lanes) // itemsize
    block = min(max(triton.next_power_of_2(width), 16), 4 * numbers)
    return min(max(numbers // block, 1), 32), block, max(block // numbers, 1)
