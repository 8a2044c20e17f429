"""Packing on a CPU: one gather where all is copied, one weighted gather where anything is resampled.

Legend: M source tokens, D width, K end vectors, T packed tokens, E end vectors among them, R rows of a map.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.pack.maps import GatherMap, InverseMap, Taps


def pack_forward(features_MD: Tensor, ends_KD: Tensor, gather: GatherMap) -> Tensor:
    """Return the packed tokens [T, D] in the features' dtype, which is that of the map's weights.

    Copies are exact (a negative zero may lose its sign beside resampled tokens); sums are made in float32.
    """
    if len(gather.copied_T) == len(gather.taps.ptr_R1) - 1:
        out_TD = features_MD.index_select(0, gather.copied_T)
    else:
        out_TD = _weighted_rows(features_MD, gather.taps)
    if len(gather.end_row_E):
        ends_ED = ends_KD.to(out_TD.dtype).index_select(0, gather.end_vec_E)
        out_TD.index_copy_(0, gather.end_row_E, ends_ED)
    return out_TD


def pack_grad_features(grad_TD: Tensor, inverse: InverseMap) -> Tensor:
    """Return the gradient [M, D] of the features: each source token sums over the packed tokens that it feeds."""
    return _weighted_rows(grad_TD, inverse.taps)


def pack_grad_ends(grad_TD: Tensor, inverse: InverseMap, num_ends: int) -> Tensor:
    """Return the gradient [K, D] of the end vectors, summed in float32 (float64 for float64 gradients)."""
    exact = torch.float64 if grad_TD.dtype == torch.float64 else torch.float32
    grad_KD = grad_TD.new_zeros(num_ends, grad_TD.shape[1], dtype=exact)
    stops = inverse.end_ptr_K1.tolist()
    for vector, (start, stop) in enumerate(pairwise(stops)):
        grad_KD[vector] = grad_TD.index_select(0, inverse.end_row_E[start:stop]).sum(0, dtype=exact)
    return grad_KD


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
