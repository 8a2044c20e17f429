"""Folders of NaFlex, DINOv2 and EVA towers, as they are laid out on the hub, and of two towers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import Siglip2Config, Siglip2Model, Siglip2TextConfig

from models.encoders.build import build_encoder, load_encoder
from models.encoders.check import randomise
from models.encoders.spec import EncoderSpec

NAFLEX = replace(tiny.NAFLEX, layers=2)
DINOV2 = replace(NAFLEX, backend="hf_dinov2", prefix_tokens=1, mlp=128, act="gelu")
REGISTERS = replace(DINOV2, prefix_tokens=5)
GIANT = replace(DINOV2, mlp=88, act="swiglu")
ARCHITECTURE = "eva02_large_patch14_clip_224"
EVA = replace(
    NAFLEX, backend="open_clip_eva", architecture=ARCHITECTURE, prefix_tokens=1, mlp=85, act="swiglu", layer=-1
)
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def encoder_of(spec: EncoderSpec) -> torch.nn.Module:
    encoder = build_encoder(spec).eval()
    randomise(encoder)
    return encoder


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    with torch.no_grad():
        return torch.equal(one(PIXELS), other(PIXELS))


def save_eva(folder: Path) -> torch.nn.Module:
    """Write an EVA as open_clip's hub repositories are laid out, with a projection and a text tower."""
    encoder = encoder_of(EVA)
    state = {f"visual.trunk.{key}": value.contiguous() for key, value in encoder.tower.state_dict().items()}
    state |= {"visual.trunk.head.weight": torch.ones(8, 32), "text.positional_embedding": torch.ones(3)}
    vision = {"image_size": 32, "timm_model_name": ARCHITECTURE, "timm_pool": "token", "timm_proj": None}
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision}, "preprocess_cfg": {"mean": [0.5] * 3}}
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(state, folder / "open_clip_model.safetensors")
    return encoder


def test_a_whole_naflex_model(tmp_path: Path) -> None:
    encoder = encoder_of(NAFLEX)
    vision = {**encoder.tower.config.to_dict(), "vision_use_head": True}
    model = Siglip2Model(Siglip2Config(text_config=Siglip2TextConfig(**TEXT).to_dict(), vision_config=vision))
    model.vision_model.load_state_dict(encoder.tower.state_dict(), strict=False)
    model.save_pretrained(tmp_path)
    assert same(load_encoder(NAFLEX, tmp_path), encoder)
    # another tile of the same weights has to be declared
    larger = replace(NAFLEX, tile_px=48, trained_px=32)
    assert load_encoder(larger, tmp_path)(torch.zeros(1, 3, 48, 48)).shape == (1, 36, 32)
    with pytest.raises(ValueError, match=r"tile_px 48 in the spec but 32 there"):
        load_encoder(replace(larger, trained_px=None), tmp_path)
    with pytest.raises(ValueError, match=r"trained_px 40 in the spec but 32 there"):
        load_encoder(replace(larger, trained_px=40), tmp_path)
    with pytest.raises(ValueError, match=r"backend 'hf_siglip' in the spec but 'hf_siglip2' there"):
        load_encoder(replace(NAFLEX, backend="hf_siglip"), tmp_path)


@pytest.mark.parametrize("spec", [DINOV2, REGISTERS, GIANT], ids=["plain", "registers", "swiglu"])
def test_a_folder_of_dinov2(tmp_path: Path, spec: EncoderSpec) -> None:
    encoder = encoder_of(spec)
    encoder.tower.save_pretrained(tmp_path)
    assert same(load_encoder(spec, tmp_path), encoder)
    with pytest.raises(ValueError, match=rf"prefix_tokens 2 in the spec but {spec.prefix_tokens} there"):
        load_encoder(replace(spec, prefix_tokens=2), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop(next(key for key in tensors if key.endswith("norm2.bias")))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"(?s)do not fit a DINOv2 tower: .*missing_keys.*norm2\.bias"):
        load_encoder(spec, tmp_path)


def test_an_eva_folder(tmp_path: Path) -> None:
    encoder = save_eva(tmp_path / "tower")
    assert same(load_encoder(EVA, tmp_path / "tower"), encoder)
    with pytest.raises(ValueError, match=rf"architecture 'eva02_base_patch16_clip_224' .* but '{ARCHITECTURE}' there"):
        load_encoder(replace(EVA, architecture="eva02_base_patch16_clip_224"), tmp_path / "tower")
    with pytest.raises(ValueError, match=r"backend 'open_clip' in the spec but 'open_clip_eva' there"):
        load_encoder(replace(EVA, backend="open_clip", architecture=""), tmp_path / "tower")
    with pytest.raises(ValueError, match=r"mlp 86 in the spec but 85 there"):
        load_encoder(replace(EVA, mlp=86), tmp_path / "tower")


def test_two_towers_come_from_a_folder_each(tmp_path: Path) -> None:
    encoder_of(REGISTERS).tower.save_pretrained(tmp_path / "first")
    second = encoder_of(NAFLEX)
    second.tower.save_pretrained(tmp_path / "second")
    spec = replace(REGISTERS, weights=str(tmp_path / "first"), second=replace(NAFLEX, weights=str(tmp_path / "second")))
    loaded = load_encoder(spec)
    with torch.no_grad():
        features = loaded(PIXELS)
    assert features.shape == (2, 16, 64) and loaded.spec == spec
    # equal means and deviations here: the second tower sees the same values
    assert (features[..., 32:] - second(PIXELS)).abs().max() <= 1e-6
    with pytest.raises(ValueError, match=r"two towers have weights of their own each"):
        load_encoder(spec, tmp_path / "first")
