"""The language model's inputs in one go: words looked up and visual tokens packed, each row written once.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens, M = N * P source tokens, S segments,
C columns, B prompts, L sequence, R = B * L rows, V words, X any axes of rows.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.pack import cpu
from kernels.pack.maps import GatherMap
from kernels.pack.op import check, winners_of
from kernels.pack.places import Places
from kernels.pack.table import PackTable


def pack_embeds(
    words_VD: Tensor,
    ids_BL: Tensor,
    visual_BL: Tensor,
    features_NPD: Tensor,
    ends_KD: Tensor,
    table: PackTable,
    padding_id: int | None = None,
) -> Tensor:
    """Return inputs [B, L, D]: the word of ids_BL where visual_BL is -1, else the packed token that it names.

    Differentiable in words, features and end vectors. visual_BL: int64 < table.num_tokens, on the same device as all
    else; a token may stand in several rows. padding_id: a word that gets no gradient. Raises ValueError when the
    tensors are not those that the table was built for.
    """
    check_places(words_VD, ids_BL, visual_BL, features_NPD)
    check(features_NPD, ends_KD, table)
    on_cpu = features_NPD.device.type == "cpu"
    weights = features_NPD.dtype if on_cpu else torch.float32
    wants_gradient = torch.is_grad_enabled() and (features_NPD.requires_grad or ends_KD.requires_grad)
    embeds_RD, _ = pack_embeds_op(
        words_VD.contiguous(),
        ids_BL.reshape(-1).contiguous(),
        visual_BL.reshape(-1).contiguous(),
        features_NPD.reshape(-1, features_NPD.shape[-1]).contiguous(),
        ends_KD.contiguous(),
        table.segments_SC,
        table.segment_of_T,
        table.gather(weights).tensors() if on_cpu else [],
        table.inverse(weights).tensors() if wants_gradient else [],
        table.resampled,
        table.blocks,
        table.peaks,
        len(words_VD) if padding_id is None else padding_id,
    )
    return embeds_RD.view(*ids_BL.shape, words_VD.shape[1])


def pack_into(
    out_XD: Tensor, visual_X: Tensor | None, features_NPD: Tensor, ends_KD: Tensor, table: PackTable
) -> Tensor:
    """Write the packed tokens into the rows of out_XD [..., D] that visual_X [...] names, and return it.

    Rows of text (-1) stay as they are; without an index, row t of [T, D] gets token t. Memory is the caller's: a buffer
    that is kept takes none from the system. For inference: nothing that asks for a gradient is taken. Raises ValueError
    when the tensors are not those that the table was built for, or out_XD is not contiguous.
    """
    shape = (table.num_tokens,) if visual_X is None else tuple(visual_X.shape)
    if visual_X is not None:
        check_places(out_XD, visual_X, visual_X, features_NPD)
    check(features_NPD, ends_KD, table)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (out_XD, features_NPD, ends_KD)):
        raise ValueError("pack_into: expected tensors that ask for no gradient; pack_embeds has one")
    wanted = (*shape, features_NPD.shape[-1])
    if out_XD.shape != wanted or out_XD.dtype != features_NPD.dtype or not out_XD.is_contiguous():
        found = f"{tuple(out_XD.shape)} of {out_XD.dtype} with strides {out_XD.stride()}"
        raise ValueError(f"pack_into: expected contiguous {wanted} of {features_NPD.dtype}, found {found}")
    on_cpu = features_NPD.device.type == "cpu"
    pack_into_op(
        out_XD.view(-1, out_XD.shape[-1]),
        None if visual_X is None else visual_X.reshape(-1).contiguous(),
        features_NPD.reshape(-1, features_NPD.shape[-1]).contiguous(),
        ends_KD.contiguous(),
        table.segments_SC,
        table.segment_of_T,
        table.gather(features_NPD.dtype).tensors() if on_cpu else [],
        table.resampled,
        table.blocks,
        table.peaks,
    )
    return out_XD


def check_places(words: Tensor, ids_BL: Tensor, visual_BL: Tensor, features_NPD: Tensor) -> None:
    """Raise ValueError when rows, dtypes or devices of the inputs do not agree with the features."""
    if ids_BL.shape != visual_BL.shape:
        raise ValueError(f"pack: ids are {tuple(ids_BL.shape)}, the visual index {tuple(visual_BL.shape)}")
    if ids_BL.dtype != torch.int64 or visual_BL.dtype != torch.int64:
        raise ValueError(f"pack: expected int64 ids and visual index, found {ids_BL.dtype} and {visual_BL.dtype}")
    if words.dtype != features_NPD.dtype or words.shape[-1] != features_NPD.shape[-1]:
        found = f"{words.shape[-1]} of {words.dtype} and {features_NPD.shape[-1]} of {features_NPD.dtype}"
        raise ValueError(f"pack: expected words and features of one width and dtype, found {found}")
    devices = [str(tensor.device) for tensor in (words, ids_BL, visual_BL, features_NPD)]
    if len(set(devices)) > 1:
        raise ValueError(f"pack: expected words, ids, visual index and features on one device, found {devices}")


@torch.library.custom_op("anyres::pack_embeds", mutates_args=(), device_types=("cpu", "cuda"))
def pack_embeds_op(
    words_VD: Tensor,
    ids_R: Tensor,
    visual_R: Tensor,
    features_MD: Tensor,
    ends_KD: Tensor,
    segments_SC: Tensor,
    segment_of_T: Tensor,
    gather: Sequence[Tensor],
    inverse: Sequence[Tensor],
    resampled: bool,
    blocks: bool,
    peaks: bool,
    padding_id: int,
) -> tuple[Tensor, Tensor]:
    """Return the inputs [R, D] and the winners of blocks, as anyres::pack does. padding_id: V for none."""
    embeds_RD = words_VD.new_empty(len(ids_R), words_VD.shape[1])
    winners_TD = winners_of(features_MD, segment_of_T, inverse, peaks)
    if embeds_RD.is_cuda:
        # triton is imported by the first packing on a GPU: machines without one need not have it
        from kernels.pack.launch import Words, launch_forward

        words, segments = Words(words_VD, ids_R), (segments_SC, segment_of_T)
        placed = {"visual_R": visual_R, "words": words, "resampled": resampled, "blocks": blocks, "peaks": peaks}
        launch_forward(features_MD, ends_KD, *segments, embeds_RD, winners_TD, **placed)
        return embeds_RD, winners_TD
    kept = winners_TD if len(winners_TD) else None
    cpu.write_words(embeds_RD, words_VD, ids_R, visual_R)
    cpu.pack_into(embeds_RD, visual_R, features_MD, ends_KD, GatherMap.of(gather), kept)
    return embeds_RD, winners_TD


@pack_embeds_op.register_fake
def _(words_VD: Tensor, ids_R: Tensor, visual_R: Tensor, features_MD: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    _, _, segment_of_T, _, inverse, _, _, peaks, _ = rest
    embeds_RD = words_VD.new_empty(len(ids_R), words_VD.shape[1])
    return embeds_RD, winners_of(features_MD, segment_of_T, inverse, peaks)


@torch.library.custom_op("anyres::pack_into", mutates_args=("out_RD",), device_types=("cpu", "cuda"))
def pack_into_op(
    out_RD: Tensor,
    visual_R: Tensor | None,
    features_MD: Tensor,
    ends_KD: Tensor,
    segments_SC: Tensor,
    segment_of_T: Tensor,
    gather: Sequence[Tensor],
    resampled: bool,
    blocks: bool,
    peaks: bool,
) -> None:
    """Write the packed tokens into the rows of out_RD that visual_R names."""
    if out_RD.is_cuda:
        from kernels.pack.launch import launch_forward

        no_winners, segments = out_RD.new_empty(0, out_RD.shape[1], dtype=torch.uint8), (segments_SC, segment_of_T)
        placed = {"visual_R": visual_R, "resampled": resampled, "blocks": blocks, "peaks": peaks}
        launch_forward(features_MD, ends_KD, *segments, out_RD, no_winners, **placed)
        return
    cpu.pack_into(out_RD, visual_R, features_MD, ends_KD, GatherMap.of(gather))


@pack_into_op.register_fake
def _(out_RD: Tensor, *_: Any) -> None:
    return None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    words_VD, ids_R, visual_R, features_MD, ends_KD, _, segment_of_T, gather, inverse, *_, padding_id = inputs
    ctx.save_for_backward(output[1], ids_R, visual_R, *inverse)
    ctx.num_gather, ctx.padding_id = len(gather), padding_id
    ctx.num_words, ctx.num_tokens, ctx.num_source = len(words_VD), segment_of_T.shape[0], features_MD.shape[0]
    ctx.num_ends, ctx.ends_dtype = ends_KD.shape[0], ends_KD.dtype


def _backward(ctx: Any, grad_RD: Tensor, _: None) -> tuple[Any, ...]:
    grad_words_VD = grad_features_MD = grad_ends_KD = None
    winners_TD, ids_R, visual_R, *inverse = ctx.saved_tensors
    grad_RD = grad_RD.contiguous()
    if ctx.needs_input_grad[0]:
        # one word more, whose gradient nobody wants: rows of visual tokens, and padding
        nobody = (visual_R >= 0) | (ids_R == ctx.padding_id)
        grad_words_VD = torch.ops.aten.embedding_dense_backward(
            grad_RD, torch.where(nobody, ctx.num_words, ids_R), ctx.num_words + 1, ctx.num_words, False
        )[: ctx.num_words]
    if ctx.needs_input_grad[3] or ctx.needs_input_grad[4]:
        places = Places.of(visual_R, ctx.num_tokens).tensors()
    if ctx.needs_input_grad[3]:
        grad_features_MD = torch.ops.anyres.pack_grad_features(grad_RD, inverse, winners_TD, ctx.num_source, places)
    if ctx.needs_input_grad[4]:
        grad_ends_KD = torch.ops.anyres.pack_grad_ends(grad_RD, inverse, ctx.num_ends, places).to(ctx.ends_dtype)
    # lists of tensors get lists
    nothing = ([None] * ctx.num_gather, [None] * len(inverse))
    return grad_words_VD, None, None, grad_features_MD, grad_ends_KD, None, None, *nothing, None, None, None, None


pack_embeds_op.register_autograd(_backward, setup_context=_setup_context)
