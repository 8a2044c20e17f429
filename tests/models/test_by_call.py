"""Inputs made call by call of the encoder are those made of all features at once."""

import pytest
import torch

import models.encoders.run
from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import build_model
from models.by_call import Sources
from models.example import Example, Turn
from models.processor import Processor
from video.clip import VideoSpec

LAYOUTS = (HW(1, 1), HW(1, 2), HW(2, 2))


@pytest.fixture
def built(tiny_spec, tiny_tokenizer, tiny_llm):
    torch.manual_seed(0)
    spec = tiny_spec(grid=GridSpec(layouts=LAYOUTS))
    return build_model(spec, tiny_llm).eval(), Processor(spec, tiny_tokenizer())


def asked(*media: object, words: str = "What?") -> Example:
    return Example(id="a", media=media, turns=(Turn(role="user", text="<image>\n" * len(media) + words),))


@pytest.mark.parametrize("tiles", [1, 2, 100])
def test_calls_give_what_all_features_give(built, tiny_image, monkeypatch, tiles: int) -> None:
    model, processor = built
    tile_tokens = model.encoder.spec.tile.tok**2
    per_tile = tile_tokens + model.encoder.spec.prefix_tokens
    monkeypatch.setattr(models.encoders.run, "CPU_TOKENS", tiles * per_tile)
    examples = [
        asked(tiny_image(80, 60)),
        # one tile, which is its overview too
        asked(tiny_image(30, 30), tiny_image(200, 90, seed=1), words="And there?"),
        asked(words="No picture."),
        # other tiles than the first one's, of which some are the same
        asked(tiny_image(30, 30)),
    ]
    batch = processor.batch(examples)
    assert batch.tile_of_N is not None
    with torch.no_grad():
        sources = Sources.of(batch, tile_tokens)
        found, features_NPE = model.embed(batch), model.encode(batch.pixels_NCHW)
        right = model.embed(batch, features_NPE)
    assert sources is not None
    assert len(sources.text_X) + len(sources.kept_U) + len(sources.end_Z) == batch.ids_BL.numel()
    torch.testing.assert_close(found, right, rtol=0, atol=1e-6)
    rows = found.flatten(0, 1)
    assert torch.equal(rows[sources.end_Z], model.ends_KD.detach()[sources.vector_Z])
    assert torch.equal(rows[sources.text_X], right.flatten(0, 1)[sources.text_X])


def test_what_is_more_than_a_copy_is_left_to_packing(built, tiny_image, tiny_clip, tiny_spec, tiny_tokenizer) -> None:
    _, processor = built
    copied = asked(tiny_image(80, 60))
    prepared = processor.prepare(copied)
    pooling = Processor(tiny_spec(video=VideoSpec(pool=2, pool_mode="average", end="frame")), tiny_tokenizer())
    tile_tokens = processor.spec.encoder.tile.tok**2
    assert Sources.of(processor.collate([prepared]), tile_tokens) is not None
    # two questions read each of its tokens twice
    assert Sources.of(processor.collate([prepared, processor.reprompt(prepared, copied)]), tile_tokens) is None
    assert Sources.of(pooling.batch([asked(tiny_clip(2, 50, 60))]), tile_tokens) is None
    # of another encoder: packing says what is wrong
    assert Sources.of(processor.collate([prepared]), tile_tokens + 1) is None


def test_gradients_take_the_usual_way(built, tiny_image) -> None:
    model, processor = built
    batch = processor.batch([asked(tiny_image(80, 60))])
    model.embed(batch).sum().backward()
    assert model.ends_KD.grad is not None
    assert all(weight.grad is not None for weight in model.projector.parameters())
