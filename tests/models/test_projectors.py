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
    with pytest.raises(ValueError, match=r"projector\.kind: expected one of linear, mlpNx_gelu, .*, got 'mlp9x_gelu'"):
        ProjectorSpec(kind="mlp9x_gelu", dim_in=1, dim_out=1)
    with pytest.raises(ValueError, match=r"'pooler' merges 2 x 2 tokens of a tile"):
        ProjectorSpec(kind="pooler", dim_in=1, dim_out=1)


def test_residual_blocks_skip_the_normalised_value() -> None:
    projector = build_projector(ProjectorSpec(kind="mlp2x_res1x_gelu", dim_in=3, dim_out=4))
    names = {f"layers.{number}" for number in (0, 2)} | {
        f"layers.3.{part}" for part in ("pre_norm", "proj.0", "proj.2")
    }
    assert {key.rsplit(".", 1)[0] for key in projector.state_dict()} == names
    features = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    state = projector.state_dict()
    hidden = torch.nn.functional.gelu(features @ state["layers.0.weight"].T + state["layers.0.bias"])
    hidden = hidden @ state["layers.2.weight"].T + state["layers.2.bias"]
    centred = hidden - hidden.mean(-1, keepdim=True)
    normal = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    inner = torch.nn.functional.gelu(normal @ state["layers.3.proj.0.weight"].T + state["layers.3.proj.0.bias"])
    expected = normal + inner @ state["layers.3.proj.2.weight"].T + state["layers.3.proj.2.bias"]
    assert (projector(features) - expected).abs().max() < 1e-5


def test_the_identity_has_no_weights_and_no_other_width() -> None:
    projector = build_projector(ProjectorSpec(kind="identity", dim_in=4, dim_out=4))
    features = torch.randn(1, 2, 4)
    assert not projector.state_dict() and projector(features) is features
    with pytest.raises(ValueError, match="the identity maps 4 to 4, not to 5"):
        ProjectorSpec(kind="identity", dim_in=4, dim_out=5)


@pytest.mark.parametrize("kind", ["linear", "mlp1x_gelu", "mlp8x_gelu", "mlp2x_res3x_gelu"])
def test_matrix_weights(kind: str) -> None:
    spec = ProjectorSpec(kind=kind, dim_in=6, dim_out=8)
    projector = build_projector(spec, device="meta")
    assert spec.matrix_weights == sum(value.numel() for value in projector.parameters() if value.ndim == 2)


def test_dtype() -> None:
    projector = build_projector(ProjectorSpec(kind="linear", dim_in=2, dim_out=3), dtype=torch.bfloat16)
    assert projector(torch.zeros(1, 1, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
