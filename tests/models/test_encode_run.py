"""Tiles through an encoder: calls of bounded size, the attention chosen, equal tiles once."""

from dataclasses import replace

import pytest
import tiny
import torch

import models.encoders.run
from anyres.geometry import HW
from anyres.grid import GridSpec
from anyres.pixels import normalise
from models.compute import Encoding
from models.encoders.build import build_encoder
from models.encoders.run import call_sizes, encode
from models.example import Example, Turn
from models.same import distinct


@pytest.mark.parametrize(
    ("tiles", "tokens", "expected"),
    [(7, None, [7]), (7, 30, [3, 2, 2]), (6, 30, [3, 3]), (2, 5, [1, 1]), (0, 30, [0]), (3, 30, [3])],
)
def test_calls_are_few_and_even(tiles, tokens, expected) -> None:
    assert call_sizes(tiles, 10, tokens) == expected


def test_calls_within_a_budget_give_the_same_features() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(tiny.CLIP).eval()
    sizes: list[int] = []
    encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    pixels_NCHW = torch.randn(7, 3, 42, 42)
    with torch.no_grad():
        whole = encode(encoder, pixels_NCHW, Encoding(tokens=None))
        parts = encode(encoder, pixels_NCHW, Encoding(tokens=3 * 10))
    assert sizes == [7, 3, 2, 2]
    torch.testing.assert_close(parts, whole, rtol=0, atol=2e-6)
    with_gradient = encode(encoder, pixels_NCHW, Encoding(tokens=3 * 10))
    assert with_gradient.requires_grad
    torch.testing.assert_close(with_gradient, whole, rtol=0, atol=2e-6)


def test_a_cpu_reads_no_more_at_once_than_its_bound(monkeypatch) -> None:
    monkeypatch.setattr(models.encoders.run, "CPU_TOKENS", 2 * 10)
    encoder = build_encoder(tiny.CLIP).eval()
    sizes: list[int] = []
    encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    for tokens in (32768, 10, None):
        encode(encoder, torch.zeros(4, 3, 42, 42), Encoding(tokens=tokens))
    assert sizes == [2, 2, 1, 1, 1, 1, 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_of_8_bits_give_the_bits_of_normalised_ones(dtype) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(tiny.CLIP).eval().to(dtype)
    given: list[torch.Tensor] = []
    encoder.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    tiles_NCHW = torch.randint(0, 256, (5, 3, 42, 42), dtype=torch.uint8)
    normalised_NCHW = normalise(tiles_NCHW, tiny.CLIP.mean, tiny.CLIP.std)
    with torch.no_grad():
        eight_bits = encode(encoder, tiles_NCHW, Encoding(tokens=2 * 10), dtype)
        assert torch.equal(torch.cat(given), normalised_NCHW.to(dtype))
        assert torch.equal(eight_bits, encode(encoder, normalised_NCHW, Encoding(tokens=2 * 10), dtype))
    # no more of them is wide at a time than a call reads
    assert [len(part_NCHW) for part_NCHW in given[:3]] == [2, 2, 1]


@pytest.mark.parametrize("attention", ["flash", "math"])
def test_attention_kernels_agree(attention) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(tiny.SIGLIP).eval()
    pixels_NCHW = torch.randn(2, 3, 42, 42)
    with torch.no_grad(), torch.profiler.profile() as profile:
        chosen = encode(encoder, pixels_NCHW, Encoding(attention=attention))
    ran = {event.key for event in profile.key_averages()}
    kernel = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert (kernel in ran) == (attention == "flash")
    with torch.no_grad():
        torch.testing.assert_close(chosen, encode(encoder, pixels_NCHW, Encoding()), rtol=0, atol=2e-6)


def test_autocast_computes_in_bfloat16_and_gives_the_weights_type() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(tiny.CLIP).eval()
    pixels_NCHW = torch.randn(2, 3, 42, 42)
    with torch.no_grad():
        exact, rounded = (encode(encoder, pixels_NCHW, Encoding(autocast=kind)) for kind in (None, "bfloat16"))
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.1


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"attention": "fast"}, {"autocast": "float8"}])
def test_a_wrong_choice_is_named(wrong) -> None:
    with pytest.raises(ValueError, match=f"encoding.{next(iter(wrong))}"):
        Encoding(**wrong)


def test_distinct_tiles_are_kept_once_in_order() -> None:
    a, b, c = torch.randn(3, 3, 6, 6)
    nearly = a.clone()
    nearly[1, 2, 3] += 1
    tiles_MCHW, tile_of_N = distinct([torch.stack([a, b, a]), torch.stack([b, c, b, nearly])], [range(3), [1, 2, 3]])
    assert tile_of_N.tolist() == [0, 1, 0, 2, 1, 3]
    assert torch.equal(tiles_MCHW, torch.stack([a, b, c, nearly]))
    alone, index = distinct([torch.stack([a, b]), c[None]], [range(2), range(1)])
    assert index is None and torch.equal(alone, torch.stack([a, b, c]))


def test_a_batch_encodes_equal_tiles_once_and_reads_the_same(built, tiny_image, tiny_clip) -> None:
    model, processor = built(grid=GridSpec(layouts=(HW(1, 1), HW(2, 2))))
    still = tiny_clip(3, 50, 40)
    still.frames_FHWC[:] = still.frames_FHWC[:1]
    media = [tiny_image(30, 30), tiny_image(80, 70), still]
    turns = (Turn(role="user", text="<image>\nWhat?"),)
    examples = [Example(id=str(row), media=(medium,), turns=turns) for row, medium in enumerate([*media, media[1]])]
    prepared = [processor.prepare(one) for one in examples]
    batch = processor.collate(prepared)
    # a square image in one tile; an overview and four, shown twice; three still frames
    assert [len(one.pixels_NCHW) for one in prepared] == [2, 5, 3, 5]
    assert len(batch.pixels_NCHW) == 1 + 5 + 1
    assert batch.tile_of_N is not None and len(batch.tile_of_N) == 1 + 5 + 3 + 5
    spelled = replace(batch, pixels_NCHW=batch.pixels_NCHW[batch.tile_of_N], tile_of_N=None)
    with torch.no_grad():
        torch.testing.assert_close(model(batch).logits, model(spelled).logits, rtol=0, atol=1e-5)


def test_tiles_of_8_bits_share_no_batch_with_normalised_ones(built, tiny_image) -> None:
    _, processor = built(grid=GridSpec(layouts=(HW(1, 1),)))
    turns = (Turn(role="user", text="<image>\nWhat?"),)
    one, other = (
        processor.prepare(Example(id=str(seed), media=(tiny_image(30, 30, seed=seed),), turns=turns)) for seed in (0, 1)
    )
    assert processor.collate([one, other]).to("cpu", torch.bfloat16).pixels_NCHW.dtype == torch.uint8
    with pytest.raises(ValueError, match="float32"):
        processor.collate([one, replace(other, pixels_NCHW=other.pixels_NCHW.float())])


def test_tokens_that_are_dropped_are_not_projected(built, tiny_image) -> None:
    model, processor = built(grid=GridSpec(layouts=(HW(2, 2),)))
    example = Example(id="a", media=(tiny_image(200, 90),), turns=(Turn(role="user", text="<image>\nWhat?"),))
    batch = processor.batch([example])
    assert batch.pack_first and batch.table.num_tokens < batch.table.num_source
    seen: list[int] = []
    model.projector.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][..., 0].numel()))
    with torch.no_grad():
        features = model.encode(batch.pixels_NCHW)
        after = model.tokens(features, batch)
        before = model.tokens(features, replace(batch, pack_first=False))
    # end vectors are not projected either
    kept = sum(segment.out.area for segment in processor.plan(example.media[0]).segments)
    assert kept < batch.table.num_tokens and seen == [kept, batch.table.num_source]
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)
