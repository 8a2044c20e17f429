"""Keys and values laid out once, and read without anything behind the last layer's own."""

import pytest
import torch
from transformers.cache_utils import DynamicCache

from models.filling import fill
from models.laid_out import laid_out


def room_for(cache: DynamicCache, more: int) -> DynamicCache:
    """Return the same keys and values with room for more, whatever stands in it."""
    layers = []
    for layer in cache.layers:
        pair = [torch.nn.functional.pad(kept, (0, 0, 0, more), value=7.0) for kept in (layer.keys, layer.values)]
        layers.append((pair[0], pair[1]))
    return laid_out(layers, cache.get_seq_length())


def pairs(cache: DynamicCache) -> list[torch.Tensor]:
    return [kept for layer in cache.layers for kept in (layer.keys, layer.values)]


@torch.no_grad()
def test_filling_keeps_what_reading_keeps(built) -> None:
    llm = built()[0].llm
    embeds, places = torch.randn(3, 9, 48), torch.arange(9).expand(3, -1)
    whole, own, after = DynamicCache(), DynamicCache(), []
    llm(inputs_embeds=embeds, past_key_values=whole, use_cache=True)
    handle = llm.get_decoder().layers[-1].mlp.register_forward_hook(lambda *_: after.append(1))
    fill(llm, embeds[:, :5], places[:, :5], own)
    own = room_for(own, 6)
    fill(llm, embeds[:, 5:], places[:, 5:], own)
    handle.remove()
    assert not after
    assert own.get_seq_length() == 9
    for found, expected in zip(pairs(own), pairs(whole), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    # what was filled can be read on from
    next_embeds = torch.randn(3, 1, 48)
    logits = [llm(inputs_embeds=next_embeds, past_key_values=one, use_cache=True).logits for one in (own, whole)]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_laid_out_cache_writes_in_place_until_it_is_full() -> None:
    keys = torch.zeros(2, 1, 5, 4)
    cache, values = laid_out([(keys, torch.zeros(2, 1, 5, 4))], 0), torch.randn(2, 1, 3, 4)
    assert cache.get_seq_length() == 0
    found = cache.update(values, 2 * values, 0)
    assert torch.equal(found[0], values) and torch.equal(found[1], 2 * values)
    assert torch.equal(keys[:, :, :3], values) and not keys[:, :, 3:].any()
    with pytest.raises(ValueError, match="room for 5 positions, 3 are written and 3 follow"):
        cache.update(values, values, 0)
    cache.batch_select_indices(torch.tensor([1]))
    assert torch.equal(cache.update(values[1:, :, :2], values[1:, :, :2], 0)[0][0, 0, :3], values[1, 0])
    assert cache.get_seq_length() == 5


@torch.no_grad()
def test_rows_of_a_laid_out_cache_repeat() -> None:
    keys = torch.randn(2, 1, 4, 3)
    cache = laid_out([(keys, keys.clone())], 2)
    cache.batch_repeat_interleave(2)
    assert torch.equal(cache.layers[0].keys, keys[[0, 0, 1, 1], :, :2])
    with pytest.raises(ValueError, match="make a new one"):
        cache.reset()
