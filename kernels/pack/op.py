"""The entry point of packing: pack(features, ends, table) -> tokens, differentiable and traceable.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens, M = N * P source tokens, S segments,
C columns, R rows of a gradient.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.pack import cpu
from kernels.pack.maps import GatherMap, InverseMap
from kernels.pack.places import Places
from kernels.pack.table import PackTable

# partial sums per end vector, so that a long video's row ends do not wait for one program
END_SPLITS = 8


def pack(features_NPD: Tensor, ends_KD: Tensor, table: PackTable) -> Tensor:
    """Return the packed visual tokens [T, D] of a batch of plans, in the features' dtype.

    Differentiable in features_NPD and in ends_KD (any float dtype). Triton on CUDA and ROCm, torch on a CPU; table on
    the features' device. Raises ValueError when the tensors are not those that the table was built for.
    """
    check(features_NPD, ends_KD, table)
    features_MD = features_NPD.reshape(-1, features_NPD.shape[-1])
    on_cpu = features_MD.device.type == "cpu"
    # a GPU multiplies by float32 weights, and needs the forward map only as segments
    weights = features_MD.dtype if on_cpu else torch.float32
    wants_gradient = torch.is_grad_enabled() and (features_NPD.requires_grad or ends_KD.requires_grad)
    packed_TD, _ = pack_op(
        features_MD.contiguous(),
        ends_KD.contiguous(),
        table.segments_SC,
        table.segment_of_T,
        table.gather(weights).tensors() if on_cpu else [],
        table.inverse(weights).tensors() if wants_gradient else [],
        table.resampled,
        table.blocks,
        table.peaks,
    )
    return packed_TD


def check(features_NPD: Tensor, ends_KD: Tensor, table: PackTable) -> None:
    """Raise ValueError when the tensors are not those that the table was built for."""
    if features_NPD.ndim != 3 or ends_KD.ndim != 2:
        found = f"features {tuple(features_NPD.shape)} and ends {tuple(ends_KD.shape)}"
        raise ValueError(f"pack: expected features [N, P, D] and ends [K, D], found {found}")
    source = features_NPD.shape[0] * features_NPD.shape[1]
    if source != table.num_source:
        raise ValueError(f"pack: the plans need {table.num_source} encoder tokens, the features hold {source}")
    if features_NPD.shape[2] != ends_KD.shape[1]:
        raise ValueError(f"pack: the features are {features_NPD.shape[2]} wide, the end vectors {ends_KD.shape[1]}")
    if ends_KD.shape[0] < table.num_ends:
        raise ValueError(f"pack: the plans use {table.num_ends} end vectors, {ends_KD.shape[0]} given")
    devices = [str(tensor.device) for tensor in (features_NPD, ends_KD, table.segments_SC)]
    if len(set(devices)) > 1 or features_NPD.device.type not in ("cpu", "cuda"):
        raise ValueError(f"pack: expected features, ends and table on one cpu or cuda device, found {devices}")
    if features_NPD.is_cuda and features_NPD.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(f"pack: on cuda expected float32, float16 or bfloat16 features, found {features_NPD.dtype}")


@torch.library.custom_op("anyres::pack", mutates_args=(), device_types=("cpu", "cuda"))
def pack_op(
    features_MD: Tensor,
    ends_KD: Tensor,
    segments_SC: Tensor,
    segment_of_T: Tensor,
    gather: Sequence[Tensor],
    inverse: Sequence[Tensor],
    resampled: bool,
    blocks: bool,
    peaks: bool,
) -> tuple[Tensor, Tensor]:
    """Return the packed tokens [T, D] and the winners of blocks, uint8 [T, D] where a gradient needs them, else [0, D].

    gather: a GatherMap, read on a CPU. segments_SC, segment_of_T: read on a GPU. inverse: an InverseMap, read by
    the gradients and empty when none is wanted. resampled, blocks, peaks: of the table.
    """
    out_TD = features_MD.new_empty(segment_of_T.shape[0], features_MD.shape[1])
    winners_TD = winners_of(features_MD, segment_of_T, inverse, peaks)
    if out_TD.is_cuda:
        # triton is imported by the first packing on a GPU: machines without one need not have it
        from kernels.pack.launch import launch_forward

        uses = {"resampled": resampled, "blocks": blocks, "peaks": peaks}
        launch_forward(features_MD, ends_KD, segments_SC, segment_of_T, out_TD, winners_TD, **uses)
        return out_TD, winners_TD
    kept = winners_TD if len(winners_TD) else None
    cpu.pack_into(out_TD, None, features_MD, ends_KD, GatherMap.of(gather), kept)
    return out_TD, winners_TD


@pack_op.register_fake
def _(
    features_MD: Tensor, ends_KD: Tensor, segments_SC: Tensor, segment_of_T: Tensor, *rest: Any
) -> tuple[Tensor, ...]:
    _, inverse, _, _, peaks = rest
    out_TD = features_MD.new_empty(segment_of_T.shape[0], features_MD.shape[1])
    return out_TD, winners_of(features_MD, segment_of_T, inverse, peaks)


def winners_of(features_MD: Tensor, segment_of_T: Tensor, inverse: Sequence[Tensor], peaks: bool) -> Tensor:
    """Return room for the winners of blocks: uint8 [T, D] where a gradient will ask for them, else [0, D]."""
    rows = segment_of_T.shape[0] if peaks and len(inverse) else 0
    return features_MD.new_zeros(rows, features_MD.shape[1], dtype=torch.uint8)


@torch.library.custom_op("anyres::pack_grad_features", mutates_args=(), device_types="cpu")
def grad_features_op(
    grad_RD: Tensor, inverse: Sequence[Tensor], winners_TD: Tensor, num_source: int, places: Sequence[Tensor]
) -> Tensor:
    """Return the gradient [M, D] of the features, in the dtype of grad_RD.

    places: of a Places, where the packed tokens stand in the rows of grad_RD; empty for row t holding token t.
    """
    return cpu.pack_grad_features(grad_RD, InverseMap.of(inverse), winners_TD, Places.read(places))


@grad_features_op.register_kernel("cuda")
def _(
    grad_RD: Tensor, inverse: Sequence[Tensor], winners_TD: Tensor, num_source: int, places: Sequence[Tensor]
) -> Tensor:
    from kernels.pack.launch import launch_grad_features

    out_MD = grad_RD.new_empty(num_source, grad_RD.shape[1])
    launch_grad_features(grad_RD, InverseMap.of(inverse), out_MD, winners_TD, Places.read(places))
    return out_MD


@grad_features_op.register_fake
def _(
    grad_RD: Tensor, inverse: Sequence[Tensor], winners_TD: Tensor, num_source: int, places: Sequence[Tensor]
) -> Tensor:
    return grad_RD.new_empty(num_source, grad_RD.shape[1])


@torch.library.custom_op("anyres::pack_grad_ends", mutates_args=(), device_types="cpu")
def grad_ends_op(grad_RD: Tensor, inverse: Sequence[Tensor], num_ends: int, places: Sequence[Tensor]) -> Tensor:
    """Return the gradient [K, D] of the end vectors that packing used, in float32 (float64 for float64)."""
    return cpu.pack_grad_ends(grad_RD, InverseMap.of(inverse), num_ends, Places.read(places))


@grad_ends_op.register_kernel("cuda")
def _(grad_RD: Tensor, inverse: Sequence[Tensor], num_ends: int, places: Sequence[Tensor]) -> Tensor:
    from kernels.pack.launch import launch_grad_ends

    partial_SKD = grad_RD.new_empty(END_SPLITS, num_ends, grad_RD.shape[1], dtype=torch.float32)
    launch_grad_ends(grad_RD, InverseMap.of(inverse), partial_SKD, Places.read(places))
    return partial_SKD.sum(0)


@grad_ends_op.register_fake
def _(grad_RD: Tensor, inverse: Sequence[Tensor], num_ends: int, places: Sequence[Tensor]) -> Tensor:
    exact = torch.float64 if grad_RD.dtype == torch.float64 else torch.float32
    return grad_RD.new_empty(num_ends, grad_RD.shape[1], dtype=exact)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features_MD, ends_KD, _, _, gather, inverse, *_ = inputs
    ctx.save_for_backward(output[1], *inverse)
    ctx.num_gather = len(gather)
    ctx.num_source, ctx.num_ends, ctx.ends_dtype = features_MD.shape[0], ends_KD.shape[0], ends_KD.dtype


def _backward(ctx: Any, grad_TD: Tensor, _: None) -> tuple[Any, ...]:
    grad_features_MD = grad_ends_KD = None
    winners_TD, *inverse = ctx.saved_tensors
    grad_TD = grad_TD.contiguous()
    if ctx.needs_input_grad[0]:
        grad_features_MD = torch.ops.anyres.pack_grad_features(grad_TD, inverse, winners_TD, ctx.num_source, [])
    if ctx.needs_input_grad[1]:
        grad_ends_KD = torch.ops.anyres.pack_grad_ends(grad_TD, inverse, ctx.num_ends, []).to(ctx.ends_dtype)
    # lists of tensors get lists
    return grad_features_MD, grad_ends_KD, None, None, [None] * ctx.num_gather, [None] * len(inverse), None, None, None


pack_op.register_autograd(_backward, setup_context=_setup_context)
