"""A whole model around each kind of encoder: it answers, and a run folder brings it back bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.build import load
from models.checkpoints.save import save
from models.encoders.spec import EncoderSpec
from models.example import Example, Turn
from models.spec import ModelSpec, ProjectorSpec

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
KINDS = {
    "naflex": {"backend": "hf_siglip2", "prefix_tokens": 0, "act": "gelu_tanh", "trained_px": 28},
    "dinov2": {"backend": "hf_dinov2", "prefix_tokens": 5, "act": "gelu", "mlp": 128, "trained_px": 28, **IMAGENET},
    "eva": {
        "backend": "open_clip_eva",
        "architecture": "eva02_large_patch14_clip_224",
        "act": "swiglu",
        "norm_eps": 1e-6,
    },
    "several": {"layer": (-2, 1)},
}


def encoder_spec(kind: str, clip: EncoderSpec) -> EncoderSpec:
    if kind == "pair":
        return replace(clip, **KINDS["dinov2"], second=replace(clip, **KINDS["naflex"]))
    return replace(clip, **KINDS[kind])


@pytest.mark.parametrize("kind", [*KINDS, "pair"])
def test_a_run_folder(
    tmp_path: Path,
    built: Callable,
    tiny_spec: Callable[..., ModelSpec],
    tiny_image: Callable[..., Image.Image],
    same_tensors: Callable,
    kind: str,
) -> None:
    spec = encoder_spec(kind, tiny_spec().encoder)
    model, processor = built(encoder=spec, projector=ProjectorSpec(kind="linear", dim_in=spec.width, dim_out=48))
    turns = (Turn(role="user", text="<image>\nWhat?"),)
    batch = processor.collate([processor.prepare(Example(id="x", media=(tiny_image(70, 50),), turns=turns))])
    save(tmp_path / "run", model, processor)
    again, other = load(tmp_path / "run")
    assert other.spec.encoder == spec
    same_tensors(model.state_dict(), again.state_dict())
    with torch.no_grad():
        assert torch.equal(model(batch).logits, again(batch).logits)
