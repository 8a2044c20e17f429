"""Inputs made by the packing itself, or over what any module of embeddings gives: the same numbers and gradients."""

import pytest
import torch
from torch import Tensor, nn

from kernels.pack.op import pack
from kernels.pack.table import PackTable
from models.placing import placed

WORDS, WIDTH = 9, 4


class Scaled(nn.Embedding):
    """As Gemma's: word vectors times a number."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * 3


def table() -> PackTable:
    # one tile of 4 x 4 tokens, resampled to 3 x 2, rows closed
    return PackTable.of([[0, 1, 4, 0, 0, 4, 4, 3, 2, 1, 0, 0, 0, 0]], [9], num_source=16)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ids, visual index, features, end vectors."""
    visual = torch.tensor([[-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, -1], [-1, -1, 4, 5, 6, -1, -1, -1, -1, -1, -1]])
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, WORDS, visual.shape, generator=generator)
    features, ends = torch.randn(1, 16, WIDTH, generator=generator), torch.randn(1, WIDTH, generator=generator)
    return ids, visual, features.to(dtype), ends.to(dtype)


def expected(words: nn.Module, ids: Tensor, visual: Tensor, features: Tensor, ends: Tensor) -> Tensor:
    embeds, tokens = words(ids), pack(features, ends, table())
    return torch.where((visual >= 0)[..., None], tokens[visual.clamp(min=0)].to(embeds.dtype), embeds)


def hooked() -> nn.Embedding:
    words = nn.Embedding(WORDS, WIDTH)
    words.register_forward_hook(lambda module, given, output: output + 1)
    return words


def patched() -> nn.Embedding:
    """As accelerate does it."""
    words = nn.Embedding(WORDS, WIDTH)
    forward = words.forward
    words.forward = lambda ids: forward(ids) * 2
    return words


MODULES = {
    "table": lambda: nn.Embedding(WORDS, WIDTH),
    "padding": lambda: nn.Embedding(WORDS, WIDTH, padding_idx=2),
    "scaled": lambda: Scaled(WORDS, WIDTH),
    "hooked": hooked,
    "patched": patched,
    "wrapped": lambda: nn.Sequential(nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH)),
}


@pytest.mark.parametrize("make", MODULES.values(), ids=list(MODULES))
def test_any_embeddings(make) -> None:
    words = make()
    ids, visual, features, ends = inputs()
    with torch.no_grad():
        assert torch.equal(
            placed(words, ids, visual, features, ends, table()), expected(words, ids, visual, features, ends)
        )
    leaves = [*words.parameters(), features.requires_grad_(), ends.requires_grad_()]
    found = placed(words, ids, visual, features, ends, table())
    reference = expected(words, ids, visual, features, ends)
    assert torch.equal(found, reference)
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(
        torch.autograd.grad(found, leaves, grad), torch.autograd.grad(reference, leaves, grad), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_the_words_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary table is not called: its rows go straight to their places."""
    words = nn.Embedding(WORDS, WIDTH)
    calls = []
    monkeypatch.setattr(nn.Embedding, "forward", lambda self, ids: calls.append(ids))
    placed(words, *inputs(), table())
    assert not calls


@pytest.mark.parametrize(
    ("held", "given"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16), (torch.float16, torch.bfloat16)],
    ids=str,
)
def test_another_dtype_is_rounded_once(held: torch.dtype, given: torch.dtype) -> None:
    words = nn.Embedding(WORDS, WIDTH, dtype=held)
    ids, visual, features, ends = inputs(given)
    found = placed(words, ids, visual, features, ends, table())
    # a wider dtype resamples in itself; a narrower one gets tokens packed in the features' own
    source = features.to(held) if torch.promote_types(held, given) == held else features
    assert found.dtype == held
    assert torch.equal(found, expected(words, ids, visual, source, ends))
