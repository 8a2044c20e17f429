"""Projectors have the released sizes, names and arithmetic."""

import pytest
import torch
from torch import nn
from transformers import LlavaNextConfig
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from models.projectors.build import build_projector
from models.spec import ProjectorSpec


@pytest.mark.parametrize(
    ("kind", "dim_in", "dim_out", "parameters"),
    [
        # published sizes: LLaVA-1.5 / 1.6 7B, 13B, 34B; LLaVA-1.0 7B; OneVision 0.5B and 7B
        ("mlp2x_gelu", 1024, 4096, 20_979_712),
        ("mlp2x_gelu", 1024, 5120, 31_467_520),
        ("mlp2x_gelu", 1024, 7168, 58_734_592),
        ("linear", 1024, 4096, 4_198_400),
        ("mlp2x_gelu", 1152, 896, 1_836_800),
        ("mlp2x_gelu", 1152, 3584, 16_980_992),
    ],
)
def test_parameter_counts(kind: str, dim_in: int, dim_out: int, parameters: int) -> None:
    projector = build_projector(ProjectorSpec(kind=kind, dim_in=dim_in, dim_out=dim_out), device="meta")
    assert sum(parameter.numel() for parameter in projector.parameters()) == parameters


@pytest.mark.parametrize(("kind", "numbers"), [("linear", "0"), ("mlp2x_gelu", "02"), ("mlp3x_gelu", "024")])
def test_linear_layers_are_numbered_as_in_checkpoints(kind: str, numbers: str) -> None:
    projector = build_projector(ProjectorSpec(kind=kind, dim_in=6, dim_out=8))
    expected = {f"layers.{number}.{part}" for number in numbers for part in ("weight", "bias")}
    assert set(projector.state_dict()) == expected
    assert projector(torch.zeros(2, 9, 6)).shape == (2, 9, 8)


@torch.no_grad()
def test_equals_the_projector_of_transformers() -> None:
    config = LlavaNextConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 12, "num_attention_heads": 2},
        text_config={"model_type": "llama", "hidden_size": 20, "num_attention_heads": 2},
    )
    theirs = LlavaNextMultiModalProjector(config)
    ours = build_projector(ProjectorSpec(kind="mlp2x_gelu", dim_in=12, dim_out=20))
    ours.layers[0].load_state_dict(theirs.linear_1.state_dict())
    ours.layers[2].load_state_dict(theirs.linear_2.state_dict())
    # large inputs, where erf and tanh GELU differ by more than rounding
    features = torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(0)) * 4
    assert torch.equal(ours(features), theirs(features))
    tanh = nn.Sequential(ours.layers[0], nn.GELU(approximate="tanh"), ours.layers[2])
    assert (tanh(features) - theirs(features)).abs().max() > 1e-5


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match=r"projector\.kind: expected one of linear, mlp2x_gelu, .*, got 'resampler'"):
        build_projector(ProjectorSpec(kind="resampler", dim_in=1, dim_out=1))


def test_dtype() -> None:
    projector = build_projector(ProjectorSpec(kind="linear", dim_in=2, dim_out=3), dtype=torch.bfloat16)
    assert projector(torch.zeros(1, 1, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
