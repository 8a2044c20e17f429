"""Weights come from folders in either layout; the type from the config inside; a wrong spec is told both values."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
)

from models.encoders.build import build_encoder, encoder_from_state, load_encoder
from models.encoders.spec import EncoderSpec

CLIP = replace(tiny.CLIP, tile_px=28, layers=2, mlp=64)
SIGLIP = replace(
    CLIP, backend="hf_siglip", prefix_tokens=0, act="gelu_tanh", norm_eps=1e-6, mean=(0.5,) * 3, std=(0.5,) * 3
)
PIXELS = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}


def features(encoder: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return encoder(PIXELS)


def save_open_clip(folder: Path, spec: EncoderSpec) -> torch.nn.Module:
    """Write a folder as open_clip's hub repositories are laid out."""
    encoder = build_encoder(replace(spec, backend="open_clip")).eval()
    prefix = "visual." if spec.prefix_tokens else "visual.trunk."
    state = {prefix + key: value.contiguous() for key, value in encoder.tower.state_dict().items()}
    # what a whole model has besides: a text tower, and a projection or a pooling head
    other = "visual.proj" if spec.prefix_tokens else "visual.trunk.attn_pool.latent"
    state |= {"transformer.resblocks.0.ln_1.weight": torch.ones(3), "logit_scale": torch.ones(()), other: torch.ones(4)}
    vision = {"image_size": 28, "timm_model_name": "vit_tiny", "timm_pool": "map", "timm_proj": "none"}
    if spec.prefix_tokens:
        vision = {"image_size": 28, "layers": 2, "width": 32, "head_width": 16, "mlp_ratio": 2.0, "patch_size": 14}
    config = {
        "model_cfg": {"embed_dim": 8, "quick_gelu": bool(spec.prefix_tokens), "vision_cfg": vision},
        "preprocess_cfg": {"mean": list(spec.mean), "std": list(spec.std)},
    }
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(state, folder / "open_clip_model.safetensors")
    return encoder


def save_whole(folder: Path, spec: EncoderSpec, **options: object) -> torch.nn.Module:
    """Write a whole CLIP or SigLIP model of transformers; return the encoder that should come out."""
    encoder = build_encoder(spec).eval()
    vision = {**encoder.tower.config.to_dict(), "vision_use_head": True}
    if spec.prefix_tokens:
        vision.pop("vision_use_head")
        model = CLIPModel(
            CLIPConfig(text_config=CLIPTextConfig(**TEXT).to_dict(), vision_config=vision, projection_dim=8)
        )
    else:
        model = SiglipModel(SiglipConfig(text_config=SiglipTextConfig(**TEXT).to_dict(), vision_config=vision))
    missing = model.vision_model.load_state_dict(encoder.tower.state_dict(), strict=False).missing_keys
    assert all(key.startswith("head.") for key in missing)
    model.save_pretrained(folder, **options)
    return encoder


@pytest.mark.parametrize("spec", [CLIP, SIGLIP], ids=["clip", "siglip"])
@pytest.mark.parametrize("reader", ["own", "open_clip"])
@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "30KB"}], ids=["single", "sharded"])
def test_a_folder_of_transformers(tmp_path: Path, spec: EncoderSpec, reader: str, shards: dict) -> None:
    # a misleading name: the type is in the config
    folder = tmp_path / ("siglip-so400m" if spec.prefix_tokens else "clip-vit-large")
    encoder = save_whole(folder, spec, **shards)
    assert (folder / "model.safetensors.index.json").exists() == bool(shards)
    spec = spec if reader == "own" else replace(spec, backend="open_clip")
    loaded = load_encoder(replace(spec, weights=str(folder)))
    assert (features(loaded) - features(encoder)).abs().max() <= 1e-5
    # the vision part alone, as transformers saves it
    encoder.tower.save_pretrained(tmp_path / "alone")
    assert torch.equal(features(load_encoder(spec, tmp_path / "alone")), features(loaded))


@pytest.mark.parametrize("spec", [CLIP, SIGLIP], ids=["clip", "siglip"])
@pytest.mark.parametrize("reader", ["own", "open_clip"])
def test_a_folder_of_open_clip(tmp_path: Path, spec: EncoderSpec, reader: str) -> None:
    encoder = save_open_clip(tmp_path / "tower", spec)
    spec = spec if reader == "own" else replace(spec, backend="open_clip")
    loaded = load_encoder(spec, tmp_path / "tower")
    assert (features(loaded) - features(encoder)).abs().max() <= 1e-5


def test_the_other_type_is_refused_whatever_the_folder_is_called(tmp_path: Path) -> None:
    save_whole(tmp_path / "clip-vit-large", SIGLIP)
    with pytest.raises(ValueError, match=r"backend 'hf_clip' in the spec but 'hf_siglip' there"):
        load_encoder(CLIP, tmp_path / "clip-vit-large")
    with pytest.raises(ValueError, match=r"prefix_tokens 1 in the spec but 0 there"):
        load_encoder(replace(CLIP, backend="open_clip"), tmp_path / "clip-vit-large")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile_px": 42}, r"tile_px 42 in the spec but 28 there"),
        ({"patch_px": 7}, r"patch_px 7 in the spec but 14 there"),
        ({"dim": 64}, r"dim 64 in the spec but 32 there"),
        ({"layers": 24}, r"layers 24 in the spec but 2 there"),
        ({"heads": 4}, r"heads 4 in the spec but 2 there"),
        ({"mlp": 65}, r"mlp 65 in the spec but 64 there"),
        ({"act": "gelu"}, r"act 'gelu' in the spec but 'quick_gelu' there"),
        ({"norm_eps": 1e-6}, r"norm_eps 1e-06 in the spec but 1e-05 there"),
        ({"mean": (0.5,) * 3}, r"mean \(0.5, 0.5, 0.5\) in the spec but \(0.48145466, "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_spec_is_told_both_values(tmp_path: Path, change: dict, message: str) -> None:
    build_encoder(CLIP).tower.save_pretrained(tmp_path)
    CLIPImageProcessorPil().save_pretrained(tmp_path)
    assert load_encoder(CLIP, tmp_path).spec == CLIP
    with pytest.raises(ValueError, match=message) as caught:
        load_encoder(replace(CLIP, **change), tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_state_dict_is_held_against_the_spec_too() -> None:
    state = build_encoder(CLIP).tower.state_dict()
    with pytest.raises(ValueError, match=r"the state dict is not .*: tokens 9 in the spec but 4 there"):
        encoder_from_state(replace(CLIP, tile_px=42), state)
    with pytest.raises(ValueError, match=r"layers 3 in the spec but 2 there"):
        encoder_from_state(replace(CLIP, layers=3), state)
    lost = {key: value for key, value in state.items() if key != "pre_layrnorm.bias"}
    with pytest.raises(ValueError, match=r"(?s)do not fit a hf_clip tower: .*pre_layrnorm\.bias"):
        encoder_from_state(CLIP, lost)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    tower = build_encoder(CLIP).tower
    tower.config.save_pretrained(tmp_path)
    torch.save(tower.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"expected model\.safetensors there \(pickles are not read\), found .*\.bin"):
        load_encoder(CLIP, tmp_path)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected config\.json or open_clip_config\.json there, found nothing"):
        load_encoder(CLIP, tmp_path)


@pytest.mark.parametrize("backend", ["hf_clip", "open_clip"])
def test_nothing_is_fetched_unless_asked(backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    source = "nobody/no-such-tower" if backend == "hf_clip" else "ViT-L-14-336-quickgelu/openai"
    with pytest.raises(ValueError, match=rf"{source}.*nothing is fetched unless download is asked for"):
        load_encoder(replace(CLIP, backend=backend, weights=source))
    with pytest.raises(ValueError, match=r"encoder\.weights is empty"):
        load_encoder(CLIP)
    with pytest.raises(ValueError, match=r"open_clip has no hub weights for MODEL/TAG"):
        load_encoder(replace(CLIP, backend="open_clip", weights="No-Model/none"))
