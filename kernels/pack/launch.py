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
    blocks: bool,
    peaks: bool,
    visual_R: Tensor | None = None,
    words: Words | None = None,
) -> None:
    """Write the packed tokens into out_RD [R, D]; all tensors contiguous, on one device.

    blocks, peaks: of the table. winners_TD: uint8, gets the winners of blocks; empty where they are not wanted.
    visual_R: int64, the packed token of each row, -1 for text (rows of no such token or word are NaN); None for
    row t holding token t. words: what rows of text get; without them they stay as they are.
    """
    num_rows, width = out_RD.shape
    rows, block = tile_shape(width, out_RD.element_size(), blocks=blocks)
    grid = (triton.cdiv(num_rows, rows), triton.cdiv(width, block))
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
            BLOCKS=blocks,
            PEAKS=peaks,
            WINNERS=len(winners_TD) > 0,
            PLACED=visual_R is not None,
            WORDS=words is not None,
        )


def launch_grad_features(
    grad_RD: Tensor, inverse: InverseMap, out_MD: Tensor, winners_TD: Tensor, places: Places | None = None
) -> None:
    """Write the gradient of the features into out_MD [M, D]; all tensors contiguous, on one device.

    winners_TD: what the forward kernel left, empty where no largest of a block was taken. places: the rows of each
    packed token; None for row t holding token t.
    """
    num_source, width = out_MD.shape
    rows, block = tile_shape(width, out_MD.element_size())
    grid = (triton.cdiv(num_source, rows), triton.cdiv(width, block))
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
        )


def launch_grad_ends(grad_RD: Tensor, inverse: InverseMap, out_SKD: Tensor, places: Places | None = None) -> None:
    """Write SPLITS partial gradients of the end vectors into out_SKD float32 [SPLITS, K, D]; they add up to it."""
    splits, num_ends, width = out_SKD.shape
    block = min(max(triton.next_power_of_2(width), 16), 64)
    grid = (triton.cdiv(width, block), num_ends, splits)
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


def tile_shape(width: int, itemsize: int, blocks: bool = False, lanes: int = LANES) -> tuple[int, int]:
    """Return (ROWS, BLOCK) of a program: 2,048 numbers, or 512 where rows are not whole 16-byte words.

    blocks: the program pools blocks too, and gets half as many for its registers; not where lanes, the threads of a
    warp, are 64, whose 16-byte accesses need all. Chosen from compiled code: 16-byte accesses, no spills, and registers
    for at least five programs at a time on a multiprocessor of sm_80 and sm_90 at the usual widths.
    """
    whole = width * itemsize % 16 == 0
    numbers = 2048 if whole else 512
    if blocks and (lanes == 32 or not whole):
        numbers //= 2
    block = min(max(triton.next_power_of_2(width), 16), numbers)
    return min(numbers // block, 32), block
