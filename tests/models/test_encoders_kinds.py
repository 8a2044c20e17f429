"""NaFlex, DINOv2, EVA, two towers and several hidden states: each against the library it comes from."""

from dataclasses import asdict, replace

import pytest
import tiny
import torch
from timm import create_model
from torch import Tensor, nn
from transformers import Dinov2Model, Dinov2WithRegistersModel, Siglip2VisionModel
from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

from anyres.cost import encoder_flops
from conf.build import build
from models.encoders.build import build_encoder, encoder_from_state
from models.encoders.check import difference, randomise
from models.encoders.hf import patches
from models.encoders.libraries import by_transformers, dinov2_of_timm, eva_of_open_clip, siglip_of_naflex
from models.encoders.pair import renormalise
from models.encoders.promise import encoder_spec
from models.encoders.rename import open_clip_to_hf_clip, timm_to_hf_siglip
from models.encoders.spec import EncoderSpec
from models.encoders.states import SLICE_M25811_F6, slice_four

NAFLEX = tiny.NAFLEX
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
DINOV2 = replace(NAFLEX, backend="hf_dinov2", prefix_tokens=1, mlp=128, act="gelu", **IMAGENET)
REGISTERS = replace(DINOV2, prefix_tokens=5)
# two thirds of 4 * 32, up to a multiple of 8
GIANT = replace(DINOV2, mlp=88, act="swiglu")
EVA = replace(
    NAFLEX,
    backend="open_clip_eva",
    architecture="eva02_large_patch14_clip_224",
    prefix_tokens=1,
    mlp=85,
    act="swiglu",
)
EVA_E = replace(EVA, architecture="eva02_enormous_patch14_clip_224", mlp=120, act="gelu")
SIGLIP = replace(NAFLEX, backend="hf_siglip")
CLIP = replace(NAFLEX, backend="hf_clip", prefix_tokens=1, act="quick_gelu", norm_eps=1e-5)
PAIR = replace(REGISTERS, second=SIGLIP)


def encoder_of(spec: EncoderSpec, seed: int = 0) -> nn.Module:
    encoder = build_encoder(spec).eval()
    randomise(encoder, seed)
    return encoder


def pixels_for(spec: EncoderSpec) -> Tensor:
    return torch.randn(2, 3, spec.tile_px, spec.tile_px, generator=torch.Generator().manual_seed(1))


def test_patches_are_those_of_the_naflex_processor() -> None:
    pixels = pixels_for(NAFLEX)
    expected = convert_image_to_patches(pixels[0].numpy(), 8)
    assert torch.equal(patches(pixels, 8)[0], torch.from_numpy(expected))


# the trained grid is 4 x 4: as it is, larger, smaller
@pytest.mark.parametrize("tile_px", [32, 56, 24])
@pytest.mark.parametrize("layer", [-1, -2, 0])
@torch.no_grad()
def test_naflex_is_that_of_transformers(tile_px: int, layer: int) -> None:
    spec = replace(NAFLEX, tile_px=tile_px, trained_px=32, layer=layer)
    encoder, pixels = encoder_of(spec), pixels_for(spec)
    whole = Siglip2VisionModel(encoder.tower.config).eval()
    whole.load_state_dict(encoder.tower.state_dict())
    tok = tile_px // 8
    # padded and masked as its processor does, with 3 rows more than the tile has
    rows = torch.nn.functional.pad(patches(pixels, 8), (0, 0, 0, 3))
    mask = (torch.arange(tok**2 + 3) < tok**2).long().expand(2, -1)
    out = whole(rows, mask, torch.tensor([[tok, tok]] * 2), output_hidden_states=True)
    features = encoder(pixels)
    assert features.shape == (2, tok**2, 32)
    assert difference(out.hidden_states[layer][:, : tok**2], features) <= 1e-6


@torch.no_grad()
def test_naflex_at_its_trained_size_is_a_siglip() -> None:
    encoder, pixels = encoder_of(NAFLEX), pixels_for(NAFLEX)
    assert difference(siglip_of_naflex(encoder, pixels), encoder(pixels)) <= 1e-6


def test_naflex_reads_whole_patches() -> None:
    with pytest.raises(ValueError, match=r"tile_px 33 or trained_px 33 is no multiple of patch_px 8"):
        build_encoder(replace(NAFLEX, tile_px=33))


@pytest.mark.parametrize("spec", [DINOV2, REGISTERS, GIANT], ids=["plain", "registers", "swiglu"])
@pytest.mark.parametrize("layer", [-1, -2])
# trained on 4 x 4 patches: as it is, larger, smaller
@pytest.mark.parametrize("tile_px", [32, 48, 24])
@torch.no_grad()
def test_dinov2_is_that_of_transformers(spec: EncoderSpec, layer: int, tile_px: int) -> None:
    spec = replace(spec, layer=layer, tile_px=tile_px, trained_px=32)
    encoder, pixels = encoder_of(spec), pixels_for(spec)
    whole = (Dinov2Model if spec.prefix_tokens == 1 else Dinov2WithRegistersModel)(encoder.tower.config).eval()
    whole.load_state_dict(encoder.tower.state_dict())
    expected = whole(pixels, output_hidden_states=True).hidden_states[layer][:, spec.prefix_tokens :]
    features = encoder(pixels)
    assert features.shape == (2, (tile_px // 8) ** 2, 32)
    assert torch.equal(features, expected)


@pytest.mark.parametrize("spec", [DINOV2, REGISTERS, GIANT], ids=["plain", "registers", "swiglu"])
@torch.no_grad()
def test_dinov2_of_timm_gives_the_same(spec: EncoderSpec) -> None:
    encoder, pixels = encoder_of(spec), pixels_for(spec)
    assert difference(dinov2_of_timm(encoder, pixels), encoder(pixels)) <= 1e-6


@pytest.mark.parametrize("spec", [DINOV2, REGISTERS, GIANT, NAFLEX], ids=["plain", "registers", "swiglu", "naflex"])
def test_the_spec_of_a_config(spec: EncoderSpec) -> None:
    config = build_encoder(spec, device="meta").tower.config
    given = {"layer": -2, "mean": spec.mean, "std": spec.std}
    assert encoder_spec(config, **given) == spec
    assert encoder_spec(config.to_dict(), **given) == spec


def test_dinov2_has_the_width_that_its_ratio_gives() -> None:
    with pytest.raises(ValueError, match=r"mlp 100 of a DINOv2 tower of width 32; the nearest is 96"):
        build_encoder(replace(DINOV2, mlp=100))
    with pytest.raises(ValueError, match=r"has a class token, got prefix_tokens 0"):
        build_encoder(replace(DINOV2, prefix_tokens=0))
    with pytest.raises(ValueError, match=r"hf_siglip has no 'swiglu'"):
        build_encoder(replace(SIGLIP, act="swiglu"))


@pytest.mark.parametrize("spec", [EVA, EVA_E], ids=["L", "E"])
@pytest.mark.parametrize("layer", [-1, -2, (3, 1)])
@pytest.mark.parametrize("tile_px", [32, 48])
@torch.no_grad()
def test_eva_is_that_of_open_clip(spec: EncoderSpec, layer: int | tuple[int, ...], tile_px: int) -> None:
    spec = replace(spec, layer=layer, tile_px=tile_px, trained_px=32)
    encoder, pixels = encoder_of(spec), pixels_for(spec)
    features = encoder(pixels)
    assert features.shape == (2, (tile_px // 8) ** 2, spec.width)
    assert difference(eva_of_open_clip(encoder, pixels), features) <= 1e-6


@torch.no_grad()
def test_eva_stops_at_the_selected_block() -> None:
    encoder, pixels = encoder_of(EVA), pixels_for(EVA)
    hidden: list[Tensor] = []
    for block in encoder.tower.blocks:
        block.register_forward_hook(lambda *call: hidden.append(call[-1]))
    features = encoder(pixels)
    assert len(hidden) == 2 and torch.equal(features, hidden[-1][:, 1:])


def test_an_architecture_that_is_not_the_spec_s() -> None:
    with pytest.raises(ValueError, match=r"has act 'swiglu' and 1 prefix tokens, the spec says 'gelu' and 1"):
        build_encoder(replace(EVA, act="gelu"))
    with pytest.raises(ValueError, match=r"has act 'swiglu' and 1 prefix tokens, the spec says 'swiglu' and 0"):
        build_encoder(replace(EVA, prefix_tokens=0))
    with pytest.raises(ValueError, match=r"'resnet18': expected the name of an EVA"):
        build_encoder(replace(EVA, architecture="resnet18"))
    with pytest.raises(ValueError, match=r"'eva99': expected the name of an EVA"):
        build_encoder(replace(EVA, architecture="eva99"))
    with pytest.raises(ValueError, match=r"layer -4 is the input of the first"):
        build_encoder(replace(EVA, layer=-4))


def test_the_presets_of_dinov2_are_what_timm_registers() -> None:
    for name, dim, layers, heads, mlp in [("base", 768, 12, 12, 3072), ("giant", 1536, 40, 24, 4096)]:
        with torch.device("meta"):
            tower = create_model(f"vit_{name}_patch14_dinov2", num_classes=0)
        fc2 = tower.blocks[0].mlp.fc2.weight
        assert (tower.embed_dim, len(tower.blocks), tower.blocks[0].attn.num_heads) == (dim, layers, heads)
        assert fc2.shape == (dim, mlp)


@pytest.mark.parametrize("spec", [CLIP, SIGLIP], ids=["clip", "siglip"])
@pytest.mark.parametrize("backend", ["own", "open_clip"])
@torch.no_grad()
def test_several_hidden_states_lie_side_by_side(spec: EncoderSpec, backend: str) -> None:
    spec = replace(spec, layers=11, layer=SLICE_M25811_F6)
    encoder, pixels = encoder_of(spec), pixels_for(spec)
    assert (spec.states, spec.width, spec.blocks_run) == ((10, 7, 4, 1, 6), 160, 10)
    expected = by_transformers(encoder, pixels)
    if backend == "open_clip":
        encoder = encoder_from_state(replace(spec, backend=backend), encoder.tower.state_dict())
    features = encoder(pixels)
    assert features.shape == (2, 16, 160)
    assert difference(expected, features) <= (0 if backend == "own" else 1e-6)
    # each part is what the layer alone gives
    one = encoder_from_state(replace(encoder.spec, layer=6), build_state(encoder))
    assert torch.equal(one(pixels), features[..., 128:])


def build_state(encoder: nn.Module) -> dict[str, Tensor]:
    state = encoder.tower.state_dict()
    if encoder.spec.backend != "open_clip":
        return state
    return open_clip_to_hf_clip(state) if encoder.spec.prefix_tokens else timm_to_hf_siglip(state)


def test_slice_four_is_the_released_set() -> None:
    # CLIP-L has 25 hidden states: steps of 6 from 6 - 2 on
    assert slice_four(25, -2) == (4, 10, 16, 22)
    assert slice_four(25, -6) == (0, 6, 12, 18, 24)
    with pytest.raises(ValueError, match="3 hidden states, expected at least 4"):
        slice_four(3, -2)


@torch.no_grad()
def test_two_towers_see_the_same_tiles() -> None:
    encoder = encoder_of(PAIR)
    raw = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    first, second = ((raw - colour(spec.mean)) / colour(spec.std) for spec in (REGISTERS, SIGLIP))
    features = encoder(first)
    assert (PAIR.width, features.shape) == (64, (2, 16, 64))
    towers = encoder.tower
    assert torch.equal(features[..., :32], towers["first"](first))
    assert (features[..., 32:] - towers["second"](second)).abs().max() <= 3e-6
    # with the first tower's colours it would be another picture
    assert (features[..., 32:] - towers["second"](first)).abs().max() > 1e-2
    assert (renormalise(first, REGISTERS, SIGLIP) - second).abs().max() <= 1e-6


def colour(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[:, None, None]


@torch.no_grad()
def test_the_state_of_two_towers() -> None:
    encoder = encoder_of(PAIR)
    state = encoder.tower.state_dict()
    again = encoder_from_state(PAIR, state)
    assert torch.equal(again(pixels_for(PAIR)), encoder(pixels_for(PAIR)))
    with pytest.raises(ValueError, match=r"expected names that begin with first\. or second\., got 'third\.x'"):
        encoder_from_state(PAIR, {**state, "third.x": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"second tower is not .*: dim 64 in the spec but 32 there"):
        encoder_from_state(replace(PAIR, second=replace(SIGLIP, dim=64)), state)


def test_specs_survive_a_mapping() -> None:
    for spec in (PAIR, EVA, replace(CLIP, layer=(-2, 1))):
        assert build(EncoderSpec, asdict(spec)) == spec


def test_costs_count_both_towers_all_maps_and_the_deepest_layer() -> None:
    assert encoder_flops(PAIR, 3) == encoder_flops(REGISTERS, 3) + encoder_flops(SIGLIP, 3)
    # a third map of the MLP: 2 P d m a block
    plain = replace(GIANT, act="gelu")
    assert encoder_flops(GIANT, 1) - encoder_flops(plain, 1) == 2 * (2 * 17 * 32 * 88)
    assert encoder_flops(replace(CLIP, layer=(-2, 1)), 1) == encoder_flops(CLIP, 1)
    assert encoder_flops(replace(CLIP, layer=(-3, 3)), 1) == encoder_flops(replace(CLIP, layer=-1), 1)
