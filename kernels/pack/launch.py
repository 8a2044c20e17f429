"""Start the packing kernels: one launch each, none for an empty output.

Legend: M source tokens, D width, K end vectors, T packed tokens, S segments, C columns.
"""

import torch
import triton
from torch import Tensor

from kernels.pack.kernel import pack_forward_kernel, pack_grad_ends_kernel, pack_grad_features_kernel
from kernels.pack.maps import InverseMap


def launch_forward(
    features_MD: Tensor,
    ends_KD: Tensor,
    segments_SC: Tensor,
    segment_of_T: Tensor,
    out_TD: Tensor,
    winners_TD: Tensor,
    *,
    blocks: bool,
    peaks: bool,
) -> None:
    """Write the packed tokens into out_TD [T, D]; all tensors contiguous, on one device.

    blocks, peaks: of the table. winners_TD: uint8, gets the winners of blocks; empty where they are not wanted.
    """
    num_tokens, width = out_TD.shape
    rows, block = tile_shape(width, out_TD.element_size())
    grid = (triton.cdiv(num_tokens, rows), triton.cdiv(width, block))
    if min(grid) == 0:
        return
    with torch.cuda.device_of(out_TD):
        pack_forward_kernel[grid](
            features_MD,
            ends_KD,
            segments_SC,
            segment_of_T,
            out_TD,
            winners_TD,
            num_tokens,
            D=width,
            ROWS=rows,
            BLOCK=block,
            BLOCKS=blocks,
            PEAKS=peaks,
            WINNERS=len(winners_TD) > 0,
        )


def launch_grad_features(grad_TD: Tensor, inverse: InverseMap, out_MD: Tensor, winners_TD: Tensor) -> None:
    """Write the gradient of the features into out_MD [M, D]; all tensors contiguous, on one device.

    winners_TD: what the forward kernel left, empty where no largest of a block was taken.
    """
    num_source, width = out_MD.shape
    rows, block = tile_shape(width, out_MD.element_size())
    grid = (triton.cdiv(num_source, rows), triton.cdiv(width, block))
    if min(grid) == 0:
        return
    taps, peaks = inverse.taps, inverse.peaks
    with torch.cuda.device_of(out_MD):
        pack_grad_features_kernel[grid](
            grad_TD,
            taps.ptr_R1,
            taps.index_X,
            taps.weight_X,
            peaks.ptr_R1,
            peaks.index_X,
            peaks.weight_X,
            winners_TD,
            out_MD,
            num_source,
            D=width,
            ROWS=rows,
            BLOCK=block,
            WINNERS=len(winners_TD) > 0,
        )


def launch_grad_ends(grad_TD: Tensor, inverse: InverseMap, out_SKD: Tensor) -> None:
    """Write SPLITS partial gradients of the end vectors into out_SKD float32 [SPLITS, K, D]; they add up to it."""
    splits, num_ends, width = out_SKD.shape
    block = min(max(triton.next_power_of_2(width), 16), 64)
    grid = (triton.cdiv(width, block), num_ends, splits)
    if min(grid) == 0:
        return
    with torch.cuda.device_of(out_SKD):
        pack_grad_ends_kernel[grid](
            grad_TD,
            inverse.end_ptr_K1,
            inverse.end_row_E,
            out_SKD,
            num_ends,
            D=width,
            ROWS=32,
            BLOCK=block,
            SPLITS=splits,
        )


def tile_shape(width: int, itemsize: int) -> tuple[int, int]:
    """Return (ROWS, BLOCK) of a program: 2,048 numbers, or 512 where rows are not whole 16-byte words.

    Chosen from compiled code: 16-byte accesses, no spills, and registers for at least seven programs at a time on a
    multiprocessor of sm_80 and sm_90 at the usual widths.
    """
    numbers = 2048 if width * itemsize % 16 == 0 else 512
    block = min(max(triton.next_power_of_2(width), 16), numbers)
    return min(numbers // block, 32), block
