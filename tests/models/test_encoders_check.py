"""anyres-plan check: every preset passes, and wrong specs are told what is declared and what is there."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from open_clip import get_model_config

from anyres.main import main
from conf.build import build
from models.encoders import check as check_module
from models.encoders.build import build_encoder
from models.encoders.check import TOLERANCE, check, small, table
from models.encoders.count import parameters
from models.encoders.spec import EncoderSpec

PRESETS = sorted((Path(__file__).parents[2] / "conf" / "encoder").glob("*.yaml"))


def preset(name: str) -> EncoderSpec:
    raw = next(path for path in PRESETS if path.stem == name).read_text(encoding="utf-8")
    return build(EncoderSpec, yaml.safe_load(raw))


@pytest.mark.parametrize("name", [path.stem for path in PRESETS])
def test_every_preset_passes(name: str) -> None:
    found = check(name, preset(name))
    assert not found.faults
    assert found.differences and max(found.differences.values()) <= TOLERANCE


def test_what_is_counted() -> None:
    found = check("pair", preset("dinov2-siglip-so400m-384"))
    # 27 x 27 tokens, 1024 + 1152 channels; 23 of 24 and 26 of 27 blocks
    assert (found.tokens, found.width, found.blocks) == (729, 2176, 49)
    found = check("several", replace(preset("clip-l14-336"), layer=(-2, -5, -8, -11, 6)))
    assert (found.tokens, found.width, found.blocks) == (576, 5 * 1024, 23)


@pytest.mark.parametrize("name", ["clip-l14-224", "siglip-base-224", "siglip2-naflex-base-384", "dinov2-reg-b14-518"])
def test_parameters_follow_from_the_spec(name: str) -> None:
    spec = small(preset(name))
    assert parameters(spec) == sum(parameter.numel() for parameter in build_encoder(spec, device="meta").parameters())


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("openclip-h14-224", {"layers": 31}, "layers 31 in the spec but 32 there"),
        ("openclip-h14-224", {"heads": 20}, "heads 20 in the spec but 16 there"),
        ("openclip-h14-224", {"act": "quick_gelu"}, "act 'quick_gelu' in the spec but 'gelu' there"),
        ("openclip-h14-224", {"weights": "ViT-H-14/none"}, "ViT-H-14 has no weights 'none'"),
        ("openclip-siglip-so400m-384", {"tile_px": 378}, "tile_px 378 in the spec but 384 there"),
        (
            "openclip-siglip-so400m-384",
            {"mean": (0.4,) * 3},
            r"mean \(0.4, 0.4, 0.4\) in the spec but \(0.5, 0.5, 0.5\)",
        ),
        ("eva02-l14-336", {"mlp": 2731}, "mlp 2731 in the spec but 2730 there"),
        ("eva02-l14-336", {"trained_px": 224}, "trained_px 224 in the spec but 336 there"),
        ("eva02-l14-336", {"act": "gelu"}, "has act 'swiglu' .* the spec says 'gelu'"),
        ("clip-l14-224", {"prefix_tokens": 0}, "prefix_tokens 0 in the spec but 1 there"),
        ("dinov2-b14-518", {"mlp": 3000}, "mlp 3000 .* the nearest is 3072"),
    ],
)
def test_faults_name_both_values(name: str, change: dict, fault: str) -> None:
    found = check(name, replace(preset(name), **change))
    assert any(re.search(fault, line) for line in found.faults), found.faults


def test_features_that_differ_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(encoder: torch.nn.Module, pixels_NCHW: torch.Tensor) -> torch.Tensor:
        return encoder(pixels_NCHW) + 1e-4

    monkeypatch.setattr(check_module, "comparisons", lambda spec: {"other": off})
    (fault,) = check("clip", preset("clip-l14-224")).faults
    assert fault.startswith("features differ from those of other by") and fault.endswith("more than 1e-06")


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert get_model_config("ViT-H-14")["vision_cfg"]["width"] == 1280
    assert main(["check", "encoder=clip-l14-224", "encoder=openclip-h14-224"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["encoder", "backend", "tile", "tokens"]
    assert [line.split()[0] for line in lines[1:]] == ["clip-l14-224", "openclip-h14-224"]
    # a change holds for every encoder; the exit status tells a fault
    assert main(["check", "encoder=openclip-h14-224", "encoder.layers=31", "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["blocks"] == 30 and any("layers 31 in the spec but 32 there" in fault for fault in row["faults"])
    assert main(["check"]) == 2
    assert "expected `check all`" in capsys.readouterr().err


def test_positions_may_be_resized_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "encoder=clip-l14-336", "encoder.tile_px=448", "encoder.trained_px=336", "--json"]
    assert main(words) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["tokens"], row["parameters"]) == (1024, 303_507_456)


def test_faults_stand_below_their_row() -> None:
    good, bad = check("a", preset("pocket")), check("b", replace(preset("pocket"), prefix_tokens=1))
    lines = table([bad, good]).splitlines()
    assert [line.split()[0] for line in lines] == ["encoder", "b"] + ["FAULT"] * len(bad.faults) + ["a"]
