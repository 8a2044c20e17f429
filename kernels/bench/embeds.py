"""Packing into the language model's inputs: a prompt of 64 words round each of eight mixed images, padded on the left.

"into": the words' vectors are there, the visual tokens come. "embeds": words are looked up too. "backward": the
gradients of features and end vectors in the latter.

Legend: N tiles, P tokens per tile, D width, K end vectors, T packed tokens, B prompts, L sequence, V words.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.bench.cases import CASES, ImageCase
from kernels.bench.pack import bound, gradients, inputs, moved_rows, of_features
from kernels.bench.peers import eager_merge, transformers_merge
from kernels.bench.verify import checked, gradient_of
from kernels.bench.work import Setting, Work
from kernels.pack.embeds import pack_embeds, pack_into
from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable

BEFORE = AFTER = 32
VOCABULARY = 1000
IMAGE_ID = 7


def works(setting: Setting) -> Iterator[Work]:
    """Give each case's packing into the inputs, without and with the words, then its gradients."""
    for case in CASES.values():
        if isinstance(case, ImageCase) and setting.wants(case.name):
            yield from _case(case, setting)


def _case(case: ImageCase, setting: Setting) -> Iterator[Work]:
    table = case.table().prepare().to(setting.device)
    features, ends = inputs(case, table, setting)
    counts = _tokens_of_images(table)
    ids, visual = prompts(counts, setting.device)
    words = torch.randn(VOCABULARY, setting.width, generator=torch.Generator().manual_seed(2)).to(features)
    embeds = F.embedding(ids, words)
    tokens = pack_reference(features, ends, table)
    expected = torch.where((visual >= 0)[..., None], tokens[visual.clamp(min=0)], embeds)
    del tokens
    merges = {"transformers": transformers_merge, "eager": eager_merge}

    def from_peers(embeds_BLD: Callable[[], Tensor]) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        calls: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "transformers": lambda f, e: scattered(embeds_BLD(), ids, merges["transformers"](case, f, e[0])),
            "eager": lambda f, e: stacked(embeds_BLD(), merges["eager"](case, f, e[0]), counts),
        }
        if setting.device == "cuda":
            calls["compiled"] = torch.compile(calls["eager"], dynamic=False)
        return calls

    target = embeds.clone()
    into = {
        **from_peers(lambda: embeds),
        setting.ours: lambda f, e: pack_into(target, visual, f, e, table),
    }
    looked_up = {
        **from_peers(lambda: F.embedding(ids, words)),
        setting.ours: lambda f, e: pack_embeds(words, ids, visual, f, e, table),
    }
    row_bytes = setting.width * setting.dtype.itemsize
    # every row of text is written, and each word among them read
    text = int((visual < 0).sum()) + len(ids[visual < 0].unique())
    shared = {
        "kernel": "embeds",
        "case": case.name,
        "width": setting.width,
        "dtype": setting.dtype,
        "shape": f"{table.num_source} -> {table.num_tokens} tokens in {len(ids)} x {ids.shape[1]} rows",
        "peer": "transformers",
    }
    for direction, packers, rows in (("into", into, 0), ("embeds", looked_up, text)):
        calls = {name: bound(packer, features, ends) for name, packer in packers.items()}
        calls, left_out = checked(calls, expected.flatten(0, 1), _rows)
        moved_bytes = (moved_rows(table) + rows) * row_bytes
        yield Work(**shared, direction=direction, calls=calls, moved_bytes=moved_bytes, left_out=left_out)
    del expected
    grad = torch.randn_like(embeds)
    kept = gradients({name: looked_up[name] for name in calls}, features, ends, grad)
    exact_grad = gradient_of(lambda exact: _placed(exact, ends, table, visual), features, grad[visual >= 0])
    calls, left_out = checked(kept, exact_grad.flatten(0, 1), of_features)
    del exact_grad
    # the words are frozen; every source token's gradient is written
    yield Work(
        **shared,
        direction="backward",
        calls=calls,
        moved_bytes=(table.num_tokens + table.num_source) * row_bytes,
        left_out=left_out,
    )


def prompts(counts: list[int], device: str) -> tuple[Tensor, Tensor]:
    """Return ids and visual index [B, L]: padding, 32 words, one image's tokens, 32 words."""
    length = max(counts) + BEFORE + AFTER
    visual = torch.full((len(counts), length), -1)
    start = 0
    for row, count in enumerate(counts):
        visual[row, length - AFTER - count : length - AFTER] = torch.arange(start, start + count)
        start += count
    ids = torch.randint(IMAGE_ID + 1, VOCABULARY, visual.shape, generator=torch.Generator().manual_seed(3))
    return torch.where(visual >= 0, IMAGE_ID, ids).to(device), visual.to(device)


def scattered(embeds_BLD: Tensor, ids_BL: Tensor, tokens_TD: Tensor) -> Tensor:
    """Return the inputs as transformers' models make them, the check of their number included."""
    mask_BL1 = (ids_BL == IMAGE_ID)[..., None]
    if int(mask_BL1.sum()) != len(tokens_TD):
        raise ValueError(f"{int(mask_BL1.sum())} places for {len(tokens_TD)} tokens")
    return embeds_BLD.masked_scatter(mask_BL1.expand_as(embeds_BLD), tokens_TD.to(embeds_BLD.dtype))


def stacked(embeds_BLD: Tensor, tokens_TD: Tensor, counts: list[int]) -> Tensor:
    """Return the inputs as eager code makes them: each prompt joined of its parts, all padded and stacked."""
    rows = []
    for embeds_LD, tokens_XD in zip(embeds_BLD, tokens_TD.split(counts), strict=True):
        stop = len(embeds_LD) - AFTER
        begin = stop - len(tokens_XD) - BEFORE
        joined_XD = torch.cat([embeds_LD[begin : begin + BEFORE], tokens_XD, embeds_LD[stop:]])
        rows.append(torch.cat([embeds_LD[:begin], joined_XD]))
    return torch.stack(rows)


def _tokens_of_images(table: PackTable) -> list[int]:
    # an overview and a detail map each
    counts = torch.bincount(torch.from_numpy(table.host_T).long())
    return counts.view(-1, 2).sum(1).tolist()


def _rows(call: Callable[[], Tensor]) -> Tensor:
    return call().flatten(0, 1)


def _placed(features_NPD: Tensor, ends_KD: Tensor, table: PackTable, visual_BL: Tensor) -> Tensor:
    """Return the packed tokens as they stand in the rows, without text."""
    return pack_reference(features_NPD, ends_KD.float(), table)[visual_BL[visual_BL >= 0]]
