"""Packing on a CPU: one gather where all is copied, one weighted gather where anything is resampled.

Legend: M source tokens, D width, K end vectors, T packed tokens, E end vectors and Z largest of blocks among them, B
tokens of the largest block, R rows of a map, Y tokens in blocks.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.pack.maps import GatherMap, InverseMap, Taps


def pack_forward(features_MD: Tensor, ends_KD: Tensor, gather: GatherMap, winners_TD: Tensor | None = None) -> Tensor:
    """Return the packed tokens [T, D] in the features' dtype, which is that of the map's weights.

    Copies are exact (a negative zero may lose its sign beside resampled tokens); sums are made in float32. winners_TD:
    uint8, gets the place in its block of each number that is the largest of one.
    """
    if len(gather.copied_T) == len(gather.taps.ptr_R1) - 1:
        out_TD = features_MD.index_select(0, gather.copied_T)
    elif len(gather.taps.index_X):
        out_TD = _weighted_rows(features_MD, gather.taps)
    else:
        # nothing but end vectors and largest of blocks, written below
        out_TD = features_MD.new_empty(len(gather.taps.ptr_R1) - 1, features_MD.shape[1])
    if len(gather.end_row_E):
        ends_ED = ends_KD.to(out_TD.dtype).index_select(0, gather.end_vec_E)
        out_TD.index_copy_(0, gather.end_row_E, ends_ED)
    if len(gather.peak_row_Z):
        largest_ZD, place_ZD = _largest(features_MD, gather.peaks_ZB, wants_places=winners_TD is not None)
        out_TD.index_copy_(0, gather.peak_row_Z, largest_ZD)
        if winners_TD is not None:
            winners_TD.index_copy_(0, gather.peak_row_Z, place_ZD)
    return out_TD


def pack_grad_features(grad_TD: Tensor, inverse: InverseMap, winners_TD: Tensor) -> Tensor:
    """Return the gradient [M, D] of the features: each source token sums over the packed tokens that it feeds.

    Of a block of which the largest was taken, only the winner gets the gradient.
    """
    peaks = inverse.peaks
    if not len(peaks.index_X):
        return _weighted_rows(grad_TD, inverse.taps)
    exact = torch.promote_types(grad_TD.dtype, torch.float32)
    exact_MD = _weighted_rows(grad_TD.to(exact), inverse.taps.weighted_in(exact))
    source_Y = torch.repeat_interleave(peaks.ptr_R1.diff())
    # place by place, so that no more is held at once than one number a block
    for place in range(int(peaks.weight_X.max()) + 1):
        chosen_Z = torch.nonzero(peaks.weight_X == place).flatten()
        token_Z = peaks.index_X[chosen_Z]
        lost_ZD = winners_TD.index_select(0, token_Z) != place
        won_ZD = grad_TD.index_select(0, token_Z).to(exact).masked_fill_(lost_ZD, 0)
        exact_MD.index_add_(0, source_Y[chosen_Z], won_ZD)
    return exact_MD.to(grad_TD.dtype)


def pack_grad_ends(grad_TD: Tensor, inverse: InverseMap, num_ends: int) -> Tensor:
    """Return the gradient [K, D] of the end vectors, summed in float32 (float64 for float64 gradients)."""
    exact = torch.float64 if grad_TD.dtype == torch.float64 else torch.float32
    grad_KD = grad_TD.new_zeros(num_ends, grad_TD.shape[1], dtype=exact)
    stops = inverse.end_ptr_K1.tolist()
    for vector, (start, stop) in enumerate(pairwise(stops)):
        grad_KD[vector] = grad_TD.index_select(0, inverse.end_row_E[start:stop]).sum(0, dtype=exact)
    return grad_KD


def _largest(features_MD: Tensor, peaks_ZB: Tensor, wants_places: bool) -> tuple[Tensor, Tensor]:
    """Return the largest numbers [Z, D] of each block and, if wanted, the places [Z, D] of the first such ones.

    As torch's max_pool2d: a NaN wins, and the last of several.
    """
    index_BZ = peaks_ZB.T.contiguous()
    largest_ZD = features_MD.index_select(0, index_BZ[0])
    place_ZD = torch.zeros(largest_ZD.shape if wants_places else (0, 0), dtype=torch.uint8)
    for place, index_Z in enumerate(index_BZ[1:], start=1):
        inside_Z = index_Z >= 0
        # behind a smaller block its first number again
        value_ZD = features_MD.index_select(0, torch.where(inside_Z, index_Z, index_BZ[0]))
        if wants_places:
            better_ZD = (value_ZD > largest_ZD) | (value_ZD != value_ZD)
            place_ZD.masked_fill_(better_ZD & inside_Z[:, None], place)
        torch.maximum(largest_ZD, value_ZD, out=largest_ZD)
    return largest_ZD, place_ZD


def _weighted_rows(input_MD: Tensor, taps: Taps) -> Tensor:
    """Return rows [R, D], each the weighted sum of its input rows; an empty row is zero."""
    return F.embedding_bag(
        taps.index_X,
        input_MD,
        taps.ptr_R1,
        mode="sum",
        per_sample_weights=taps.weight_X,
        include_last_offset=True,
    )
