"""Packing on a CPU, straight into its output: copied rows by one gather, others by weighted gathers of a few rows.

Legend: M source tokens, D width, K end vectors, T packed tokens, R rows of the output or of a map, Z largest of blocks,
B tokens of the largest block, E end vectors in the output, V words.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.pack.maps import MADE_BY, GatherMap, InverseMap, Taps
from kernels.pack.places import Places, Run, runs
from kernels.pack.slabs import Slabs, copy_slab
from kernels.pool.peaks import Scratch, places_of

# bytes of the weighted rows that are made before they are copied to their place: they stay in the cache, and glibc
# keeps a block of this size instead of giving it back to the system
CHUNK_BYTES = 2**20


def pack_into(
    out_RD: Tensor,
    visual_R: Tensor | None,
    features_MD: Tensor,
    ends_KD: Tensor,
    gather: GatherMap,
    winners_TD: Tensor | None = None,
) -> None:
    """Write the packed tokens into the rows that visual_R names, and leave rows of text (-1) as they are.

    visual_R: int64 index into the packed tokens; None for row t holding token t. gather: weights in the features'
    dtype, which is that of out_RD. Copies are exact; sums are made in float32. winners_TD: uint8, gets the place in its
    block of each number that is the largest of one.
    """
    num_tokens = len(gather.copied_T)
    if visual_R is not None and len(visual_R) and int(visual_R.max()) >= num_tokens:
        raise ValueError(f"pack: the visual index names token {int(visual_R.max())} of {num_tokens}")
    pieces, copies = gather.pieces_G3.tolist(), Slabs(gather.slabs_W6)
    placed = [run for run in ([Run(0, num_tokens, 0)] if visual_R is None else runs(visual_R)) if run.first >= 0]
    for run in placed:
        _write_run(out_RD, run, pieces, copies, features_MD, gather)
    if len(gather.end_row_E):
        _write_ends(out_RD, visual_R, placed, ends_KD, gather)
    if len(gather.peak_row_Z):
        row_Z, which_Z = _rows_of(gather.peak_row_Z, visual_R, num_tokens)
        _write_largest(out_RD, row_Z, features_MD, gather, which_Z, winners_TD)


def write_words(out_RD: Tensor, words_VD: Tensor, ids_R: Tensor, visual_R: Tensor) -> None:
    """Write the words' vectors into the rows of text (-1 in visual_R), and leave the others as they are."""
    for run in runs(visual_R):
        if run.first < 0:
            torch.index_select(words_VD, 0, ids_R[run.start : run.stop], out=out_RD[run.start : run.stop])


def pack_grad_features(grad_RD: Tensor, inverse: InverseMap, winners_TD: Tensor, places: Places | None) -> Tensor:
    """Return the gradient [M, D] of the features: each source token sums over the rows that it feeds.

    Of a block of which the largest was taken, only the winner gets the gradient. places: where the packed tokens stand
    in the rows; None for row t holding token t.
    """
    peaks = inverse.peaks
    if not len(peaks.index_X):
        return _weighted_rows(grad_RD, inverse.taps if places is None else places.through(inverse.taps))
    exact = torch.promote_types(grad_RD.dtype, torch.float32)
    grad_TD = grad_RD.to(exact)
    if places is not None:
        ones_R = torch.ones(len(places.row_R), dtype=exact)
        stop = int(places.ptr_T1[-1])
        rows = Taps(ptr_R1=places.ptr_T1, index_X=places.row_R[:stop], weight_X=ones_R[:stop])
        grad_TD = _weighted_rows(grad_TD, rows)
    exact_MD = _weighted_rows(grad_TD, inverse.taps.weighted_in(exact))
    source_Y = torch.repeat_interleave(peaks.ptr_R1.diff())
    # place by place, so that no more is held at once than one number a block
    for place in range(int(peaks.weight_X.max()) + 1):
        chosen_Z = torch.nonzero(peaks.weight_X == place).flatten()
        token_Z = peaks.index_X[chosen_Z]
        lost_ZD = winners_TD.index_select(0, token_Z) != place
        won_ZD = grad_TD.index_select(0, token_Z).masked_fill_(lost_ZD, 0)
        exact_MD.index_add_(0, source_Y[chosen_Z], won_ZD)
    return exact_MD.to(grad_RD.dtype)


def pack_grad_ends(grad_RD: Tensor, inverse: InverseMap, num_ends: int, places: Places | None) -> Tensor:
    """Return the gradient [K, D] of the end vectors, summed in float32 (float64 for float64 gradients)."""
    exact = torch.float64 if grad_RD.dtype == torch.float64 else torch.float32
    grad_KD = grad_RD.new_zeros(num_ends, grad_RD.shape[1], dtype=exact)
    ends = Taps(ptr_R1=inverse.end_ptr_K1, index_X=inverse.end_row_E, weight_X=torch.ones_like(inverse.end_row_E))
    ends = ends if places is None else places.through(ends)
    for vector, (start, stop) in enumerate(pairwise(ends.ptr_R1.tolist())):
        grad_KD[vector] = grad_RD.index_select(0, ends.index_X[start:stop]).sum(0, dtype=exact)
    return grad_KD


def _write_run(
    out_RD: Tensor, run: Run, pieces: list[list[int]], copies: Slabs, features_MD: Tensor, gather: GatherMap
) -> None:
    """Write a run's copies and weighted sums; its end vectors and largest of blocks are written afterwards."""
    shift = run.start - run.first
    for first, stop, how in pieces:
        start, stop = max(first, run.first), min(stop, run.stop - shift)
        if start >= stop or how == MADE_BY["largest"]:
            continue
        if how == MADE_BY["copy"]:
            _copy(out_RD, shift, (start, stop), copies, features_MD, gather)
            continue
        step = max(CHUNK_BYTES // max(features_MD.shape[1] * features_MD.dtype.itemsize, 1), 1)
        for low in range(start, stop, step):
            high = min(low + step, stop)
            out_RD[low + shift : high + shift] = _weighted_rows(features_MD, gather.taps.rows(low, high))


def _copy(
    out_RD: Tensor, shift: int, tokens: tuple[int, int], copies: Slabs, features_MD: Tensor, gather: GatherMap
) -> None:
    """Copy the packed tokens from start to stop - 1: whole slabs, or token by token where one is cut."""
    start, stop = tokens
    found = copies.within(start, stop)
    if found is None:
        rows_RD = out_RD[start + shift : stop + shift]
        torch.index_select(features_MD, 0, gather.copied_T[start:stop], out=rows_RD)
        return
    for slab in found:
        copy_slab(out_RD, shift, features_MD, slab)


def _write_ends(out_RD: Tensor, visual_R: Tensor | None, placed: list[Run], ends_KD: Tensor, gather: GatherMap) -> None:
    """Write the end vectors of the packed tokens that are placed: by slabs, or row by row where one is cut."""
    slabs = Slabs(gather.end_slabs_W6)
    found = [slabs.within(run.first, run.first + run.stop - run.start) for run in placed]
    if None in found:
        row_E, which_E = _rows_of(gather.end_row_E, visual_R, len(gather.copied_T))
        vector_E = gather.end_vec_E[which_E]
        out_RD.index_copy_(0, row_E, ends_KD.to(out_RD.dtype).index_select(0, vector_E))
        return
    for run, slabs_of_run in zip(placed, found, strict=True):
        for slab in slabs_of_run:
            copy_slab(out_RD, run.start - run.first, ends_KD, slab)


def _rows_of(token_E: Tensor, visual_R: Tensor | None, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Return (rows, which of token_E each holds): all rows that hold one of some packed tokens."""
    if visual_R is None:
        return token_E, torch.arange(len(token_E))
    # one more, for text
    which_T1 = torch.full((num_tokens + 1,), -1)
    which_T1[token_E] = torch.arange(len(token_E))
    which_R = which_T1[visual_R]
    row_E = torch.nonzero(which_R >= 0).flatten()
    return row_E, which_R[row_E]


def _write_largest(
    out_RD: Tensor, row_Z: Tensor, features_MD: Tensor, gather: GatherMap, which_Z: Tensor, winners_TD: Tensor | None
) -> None:
    """Write the largest numbers of blocks into the rows row_Z, a few at a time, and their places, where wanted.

    which_Z: of the gather's blocks, for each row.
    """
    num_places, width = gather.peaks_ZB.shape[1], features_MD.shape[1]
    step = max(CHUNK_BYTES // 4 // max(width * features_MD.itemsize, 1), 1)
    value_zD, best_zD = (features_MD.new_empty(min(step, len(row_Z)), width) for _ in range(2))
    scratch = Scratch(len(value_zD), (width,), features_MD) if winners_TD is not None else None
    for row_z, which_z in zip(row_Z.split(step), which_Z.split(step), strict=True):
        index_Bz = gather.peaks_ZB.index_select(0, which_z).T
        # behind a smaller block its first number again
        inside_Bz = index_Bz >= 0
        index_Bz = torch.where(inside_Bz, index_Bz, index_Bz[:1])
        best = best_zD[: len(row_z)]
        if scratch is None:
            torch.index_select(features_MD, 0, index_Bz[0], out=best)
            for index_z in index_Bz[1:]:
                value = torch.index_select(features_MD, 0, index_z, out=value_zD[: len(row_z)])
                torch.maximum(best, value, out=best)
        else:
            values_BzD = features_MD.index_select(0, index_Bz.flatten()).view(num_places, -1, width)
            best.copy_(values_BzD[0])
            for value in values_BzD[1:]:
                torch.maximum(best, value, out=best)
            won_zD = places_of(best, list(values_BzD), values_BzD, scratch, list(inside_Bz))
            winners_TD.index_copy_(0, gather.peak_row_Z[which_z], won_zD.to(torch.uint8))
        out_RD.index_copy_(0, row_z, best)


def _weighted_rows(input_MD: Tensor, taps: Taps) -> Tensor:
    """Return rows [R, D], each the weighted sum of its input rows; an empty row is zero."""
    if not len(taps.index_X):
        return input_MD.new_zeros(len(taps.ptr_R1) - 1, input_MD.shape[1])
    return F.embedding_bag(
        taps.index_X,
        input_MD,
        taps.ptr_R1,
        mode="sum",
        per_sample_weights=taps.weight_X,
        include_last_offset=True,
    )
