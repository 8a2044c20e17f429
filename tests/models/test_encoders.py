"""Features are transformers' hidden states of the selected layer, and the same through open_clip."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from torch import Tensor, nn
from transformers import CLIPVisionModel, SiglipVisionModel

from conf.build import build
from models.encoders.build import build_encoder, encoder_from_state
from models.encoders.check import difference
from models.encoders.promise import encoder_spec
from models.encoders.rename import hf_clip_to_open_clip, hf_siglip_to_timm, open_clip_to_hf_clip, timm_to_hf_siglip
from models.encoders.spec import EncoderSpec

CLIP = replace(tiny.CLIP, mlp=77)
# 45 px: 3 patches of 14 and 3 px that no patch reads
SIGLIP = replace(
    CLIP,
    backend="hf_siglip",
    tile_px=45,
    prefix_tokens=0,
    act="gelu_tanh",
    norm_eps=1e-6,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)
BOTH = pytest.mark.parametrize("spec", [CLIP, SIGLIP], ids=["clip", "siglip"])


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a size that matters: initial weights are so small that activations hardly differ."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * (0.5 if parameter.ndim < 2 else 0.2)
    return module


def encoder_of(spec: EncoderSpec) -> nn.Module:
    return randomise(build_encoder(spec)).eval()


def pixels_for(spec: EncoderSpec, count: int = 2) -> Tensor:
    return torch.randn(count, 3, spec.tile_px, spec.tile_px, generator=torch.Generator().manual_seed(1))


@BOTH
@pytest.mark.parametrize("layer", [-1, -2, -4, 0, 1, 3])
@torch.no_grad()
def test_features_are_the_hidden_state_of_transformers(spec: EncoderSpec, layer: int) -> None:
    spec = replace(spec, layer=layer)
    encoder = encoder_of(spec)
    pixels = pixels_for(spec)
    whole = (CLIPVisionModel if spec.prefix_tokens else SiglipVisionModel)(encoder.tower.config).eval()
    whole.load_state_dict(encoder.tower.state_dict())
    expected = whole(pixels, output_hidden_states=True).hidden_states[layer][:, spec.prefix_tokens :]
    features = encoder(pixels)
    assert features.shape == (2, 9, 32)
    assert torch.equal(features, expected)


@BOTH
@pytest.mark.parametrize("layer", [-1, -2, 1])
@torch.no_grad()
def test_open_clip_gives_the_same_features(spec: EncoderSpec, layer: int) -> None:
    spec = replace(spec, layer=layer)
    encoder = encoder_of(spec)
    theirs = encoder_from_state(replace(spec, backend="open_clip"), encoder.tower.state_dict())
    pixels = pixels_for(spec)
    assert difference(encoder(pixels), theirs(pixels)) <= 1e-6


@BOTH
@torch.no_grad()
def test_open_clip_weights_in_a_transformers_tower(spec: EncoderSpec) -> None:
    theirs = encoder_of(replace(spec, backend="open_clip"))
    back = open_clip_to_hf_clip if spec.prefix_tokens else timm_to_hf_siglip
    ours = encoder_from_state(spec, back(theirs.tower.state_dict()))
    pixels = pixels_for(spec)
    assert difference(ours(pixels), theirs(pixels)) <= 1e-6


@BOTH
def test_renaming_back_and_forth_changes_nothing(spec: EncoderSpec) -> None:
    state = encoder_of(spec).tower.state_dict()
    there, back = (
        (hf_clip_to_open_clip, open_clip_to_hf_clip) if spec.prefix_tokens else (hf_siglip_to_timm, timm_to_hf_siglip)
    )
    again = back(there(state))
    assert set(again) == set(state)
    assert all(torch.equal(again[key], state[key]) for key in state)
    with pytest.raises(ValueError, match=r"unknown parameter 'encoder\.layers\.0\.mlp\.gate\.weight'"):
        there({**state, "encoder.layers.0.mlp.gate.weight": torch.zeros(1)})


@BOTH
@pytest.mark.parametrize("backend", ["own", "open_clip"])
@torch.no_grad()
def test_each_activation_is_its_own(spec: EncoderSpec, backend: str) -> None:
    state = encoder_of(spec).tower.state_dict()
    spec = spec if backend == "own" else replace(spec, backend="open_clip")
    pixels = pixels_for(spec)
    features = {
        act: encoder_from_state(replace(spec, act=act), state)(pixels) for act in ("quick_gelu", "gelu_tanh", "gelu")
    }
    # far above the 1e-6 of the comparison with the other backend, so that one catches a wrong activation
    assert difference(features["quick_gelu"], features["gelu"]) > 1e-3
    assert difference(features["gelu_tanh"], features["gelu"]) > 1e-5


@BOTH
@pytest.mark.parametrize("backend", ["own", "open_clip"])
@torch.no_grad()
def test_blocks_behind_the_selected_one_do_not_run(spec: EncoderSpec, backend: str) -> None:
    encoder = encoder_of(spec if backend == "own" else replace(spec, backend="open_clip"))
    blocks = next(m for m in encoder.tower.modules() if isinstance(m, (nn.ModuleList, nn.Sequential)) and len(m) == 3)
    calls = []
    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, index=index: calls.append(index))
    encoder(pixels_for(spec))
    assert calls == [0, 1]


@BOTH
def test_gradients_reach_the_patches(spec: EncoderSpec) -> None:
    encoder = encoder_of(spec)
    encoder(pixels_for(spec)).square().sum().backward()
    gradients = {name: parameter.grad is not None for name, parameter in encoder.tower.named_parameters()}
    assert gradients["embeddings.patch_embedding.weight"] and gradients["encoder.layers.1.mlp.fc2.weight"]
    # behind the selected hidden state
    assert not gradients["encoder.layers.2.mlp.fc2.weight"] and not gradients["post_layernorm.weight"]


@BOTH
@pytest.mark.parametrize("backend", ["own", "open_clip"])
@torch.no_grad()
def test_pixels_are_taken_to_the_dtype_of_the_weights(spec: EncoderSpec, backend: str) -> None:
    spec = spec if backend == "own" else replace(spec, backend="open_clip")
    assert build_encoder(spec, dtype=torch.bfloat16)(pixels_for(spec)).dtype == torch.bfloat16


@BOTH
def test_the_spec_of_a_transformers_config(spec: EncoderSpec) -> None:
    config = build_encoder(spec, device="meta").tower.config
    given = {"layer": -2, "mean": spec.mean, "std": spec.std}
    assert encoder_spec(config, **given) == spec
    assert encoder_spec(config.to_dict(), **given) == spec
    # a full model's config; its parts need not repeat their type
    part = {key: value for key, value in config.to_dict().items() if key != "model_type"}
    whole = {"model_type": "clip" if spec.prefix_tokens else "siglip", "vision_config": part}
    assert encoder_spec(whole, **given) == spec


def test_types_without_a_backend_are_refused() -> None:
    given = {"layer": -2, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    with pytest.raises(
        ValueError, match=r"model_type 'vit' has no backend, expected one of clip_vision_model, .*siglip2"
    ):
        encoder_spec({"model_type": "vit"}, **given)
    with pytest.raises(ValueError, match=r"hidden_act 'relu', expected one of quick_gelu, gelu_pytorch_tanh, gelu"):
        encoder_spec({"model_type": "clip_vision_model", "hidden_act": "relu"}, **given)


@pytest.mark.parametrize(
    ("name", "layers", "parameters"),
    [
        # published sizes of the two towers of CLIP ViT-L/14
        ("clip-l14-336", 24, 303_507_456),
        ("clip-l14-224", 24, 303_179_776),
        # SigLIP so400m without its last block and its pooling head
        ("siglip-so400m-384", 26, 397_747_744),
    ],
)
def test_parameter_counts(root: Path, name: str, layers: int, parameters: int) -> None:
    raw = yaml.safe_load((root / "conf" / "encoder" / f"{name}.yaml").read_text(encoding="utf-8"))
    spec = replace(build(EncoderSpec, raw), layers=layers)
    for backend in (spec.backend, "open_clip"):
        encoder = build_encoder(replace(spec, backend=backend), device="meta")
        assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_px": 43}, "patch_px 43 must be between 1 and tile_px 42"),
        ({"trained_px": 13}, "patch_px 14 must be between 1 and tile_px 42, and at most trained_px 13"),
        ({"layer": ()}, "layer is an empty list"),
        ({"layer": (-2, 4)}, "layer 4 is not among the 4 hidden states"),
        ({"backend": "open_clip_eva"}, "architecture '' with backend 'open_clip_eva'"),
        ({"architecture": "eva02_tiny"}, "architecture 'eva02_tiny' with backend 'hf_clip'"),
        ({"second": replace(SIGLIP, tile_px=56)}, "56 px and 4 tokens a side, but the first tower has 42 px and 3"),
        ({"second": replace(CLIP, second=CLIP)}, "two towers at most"),
        ({"heads": 3}, "dim 32, layers 3, heads 3 and mlp 77 must be at least 1, and dim a multiple of heads"),
        ({"layer": 4}, "layer 4 is not among the 4 hidden states"),
        ({"layer": -5}, "layer -5 is not among the 4 hidden states"),
        ({"std": (0.5, 0.0, 0.5)}, r"std \(0.5, 0.0, 0.5\) not above 0"),
    ],
)
def test_impossible_specs_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CLIP, **change)


def test_a_prefix_that_the_tower_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a hf_clip tower .*prefix_tokens 0 in the spec but 1 there"):
        build_encoder(replace(CLIP, prefix_tokens=0))
    with pytest.raises(ValueError, match=r"a hf_siglip tower .*prefix_tokens 1 in the spec but 0 there"):
        build_encoder(replace(SIGLIP, prefix_tokens=1))
    with pytest.raises(ValueError, match="0 or 1 prefix tokens, got 5"):
        build_encoder(replace(CLIP, backend="open_clip", prefix_tokens=5))
