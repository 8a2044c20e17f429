"""Position embeddings at another tile: equal to transformers' own interpolation, in every backend that has it."""

from dataclasses import replace

import pytest
import tiny
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from models.encoders.build import build_encoder, encoder_from_state
from models.encoders.check import difference, randomise
from models.encoders.positions import resize_positions
from models.encoders.spec import EncoderSpec

CLIP = replace(tiny.CLIP, tile_px=56, trained_px=32, patch_px=8, mlp=72, mean=(0.5,) * 3, std=(0.5,) * 3)
SIGLIP = replace(CLIP, backend="hf_siglip", prefix_tokens=0, act="gelu_tanh", norm_eps=1e-6)
BOTH = pytest.mark.parametrize("spec", [CLIP, SIGLIP], ids=["clip", "siglip"])
# trained on 4 x 4 patches: larger, smaller, the same with pixels left over
TILES = pytest.mark.parametrize("tile_px", [56, 24, 35])


@BOTH
@pytest.mark.parametrize("tok", [7, 3, 4])
def test_the_grid_is_resized_as_in_transformers(spec: EncoderSpec, tok: int) -> None:
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 32, "patch_size": 8}
    if spec.prefix_tokens:
        embeddings = CLIPVisionModel(CLIPVisionConfig(**sizes)).embeddings
    else:
        embeddings = SiglipVisionModel(SiglipVisionConfig(**sizes)).embeddings
    positions = embeddings.position_embedding.weight
    tokens = torch.zeros(1, spec.prefix_tokens + tok**2, 32)
    expected = embeddings.interpolate_pos_encoding(tokens, tok * 8, tok * 8)[0]
    assert torch.equal(resize_positions(positions, tok, spec.prefix_tokens), expected)


@BOTH
@TILES
@torch.no_grad()
def test_features_at_another_tile(spec: EncoderSpec, tile_px: int) -> None:
    spec = replace(spec, tile_px=tile_px)
    encoder = build_encoder(spec).eval()
    randomise(encoder)
    pixels = torch.randn(2, 3, tile_px, tile_px, generator=torch.Generator().manual_seed(1))
    expected = encoder.tower(pixels, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states[-2]
    expected = expected[:, spec.prefix_tokens :]
    state = encoder.tower.state_dict()
    # the parameters stay those of the trained tile
    assert state["embeddings.position_embedding.weight"].shape[0] == spec.prefix_tokens + 16
    assert expected.shape[1] == spec.tile.tok**2
    assert difference(expected, encoder(pixels)) <= 1e-6
    theirs = encoder_from_state(replace(spec, backend="open_clip"), state)
    assert difference(expected, theirs(pixels)) <= 1e-6


@BOTH
def test_a_tile_that_was_not_trained_must_be_declared(spec: EncoderSpec) -> None:
    state = build_encoder(spec).tower.state_dict()
    with pytest.raises(ValueError, match=r"tokens 49 in the spec but 16 there"):
        encoder_from_state(replace(spec, trained_px=None), state)
    with pytest.raises(ValueError, match=r"tokens 25 in the spec but 16 there"):
        encoder_from_state(replace(spec, trained_px=40), state)


@BOTH
@torch.no_grad()
def test_the_resized_positions_matter(spec: EncoderSpec) -> None:
    encoder = build_encoder(spec).eval()
    randomise(encoder)
    pixels = torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    before = encoder(pixels)
    encoder.tower.embeddings.position_embedding.weight[spec.prefix_tokens] *= -1
    assert difference(before, encoder(pixels)) > 1e-3
