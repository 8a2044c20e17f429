"""A tiny world for model tests: a byte tokenizer, a spec whose tile has 3 x 3 tokens, pictures of any size."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import build_model
from models.checkpoints.save import save
from models.example import Example, Turn
from models.llms.build import llm_config, llm_spec
from models.pocket.words import VOCABULARY
from models.processor import Processor
from models.spec import LlmSpec, ModelSpec, ProjectorSpec
from video.clip import ClipMeta, VideoClip, VideoSpec

SPECIALS = ("<s>", "</s>", "<unk>", "<pad>")
LLM = {
    "model_type": "llama",
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 264,
    "max_position_embeddings": 1024,
    "rope_theta": 10000.0,
    "initializer_range": 0.2,
}


def make_tokenizer(*extra: str) -> Tokenizer:
    """Return a tokenizer with one token a byte, special tokens first, <s> put in front."""
    names = [*SPECIALS, *extra]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {name: index for index, name in enumerate([*names, *alphabet])}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def make_image(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return a picture of coarse random colours, so that resizing keeps something to see."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BILINEAR)


def make_clip(frames: int, width: int, height: int, seed: int = 0) -> VideoClip:
    """Return decoded frames that differ."""
    array_FHWC = np.stack([np.asarray(make_image(width, height, seed * 100 + i)) for i in range(frames)])
    meta = ClipMeta(num_frames=frames, fps=1.0, size=HW(height, width), duration_s=float(frames))
    times_F = np.arange(frames, dtype=np.float64)
    return VideoClip(frames_FHWC=array_FHWC, times_F=times_F, indices=tuple(range(frames)), reader="test", meta=meta)


def make_spec(**changes: Any) -> ModelSpec:
    """Return a spec with a CLIP of 42 px tiles (3 x 3 tokens) and the released five grids."""
    encoder = tiny.CLIP
    fields: dict[str, Any] = {
        "name": "tiny",
        "encoder": encoder,
        "projector": ProjectorSpec(kind="mlp2x_gelu", dim_in=32, dim_out=48),
        "llm": llm_spec(llm_config(LLM)),
        "grid": GridSpec(layouts=(HW(2, 1), HW(1, 2), HW(2, 2), HW(1, 3), HW(3, 1))),
        "video": VideoSpec(pool=2, pool_mode="average", end="grid", fit="crop"),
        "template": "vicuna_v1",
    }
    return ModelSpec(**{**fields, **changes})


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[..., Tokenizer]:
    return make_tokenizer


@pytest.fixture(scope="session")
def tiny_image() -> Callable[..., Image.Image]:
    return make_image


@pytest.fixture(scope="session")
def tiny_clip() -> Callable[..., VideoClip]:
    return make_clip


@pytest.fixture(scope="session")
def tiny_spec() -> Callable[..., ModelSpec]:
    return make_spec


@pytest.fixture(scope="session")
def tiny_llm() -> dict[str, Any]:
    return dict(LLM)


def ask_logits(model, processor, image, text="What?"):
    one = Example(id="x", media=(image,), turns=(Turn(role="user", text="<image>\n" + text),))
    with torch.no_grad():
        return model(processor.batch([one])).logits


def assert_same_tensors(first, second):
    assert set(first) == set(second)
    for key in first:
        assert first[key].dtype == second[key].dtype, key
        assert torch.equal(first[key], second[key]), key


@pytest.fixture
def built(tiny_spec, tiny_tokenizer, tiny_llm):
    def make(llm=None, num_ends=1, **changes):
        torch.manual_seed(0)
        raw = {**tiny_llm, **(llm or {})}
        spec = tiny_spec(llm=llm_spec(llm_config(raw)), **changes)
        model = build_model(spec, raw, num_ends=num_ends).eval()
        return model, Processor(spec, tiny_tokenizer())

    return make


@pytest.fixture
def run(built, tmp_path):
    model, processor = built()
    save(tmp_path / "run", model, processor)
    return tmp_path / "run", model, processor


@pytest.fixture(scope="session")
def same_tensors() -> Callable[..., None]:
    return assert_same_tensors


PARITY: dict[str, list[float]] = {}
TOLERANCE = 1e-5


def assert_parity(name: str, found: torch.Tensor, expected: torch.Tensor, cases: int = 1) -> None:
    """Compare logits with transformers', and note the difference for the table at the end of the run."""
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)
    worst = (found - expected).abs().max().item()
    PARITY.setdefault(name, []).extend([worst] * cases)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the parity table: class, cases compared, worst difference of a logit in float32."""
    if PARITY:
        terminalreporter.section("parity with transformers")
    for name, worst in sorted(PARITY.items()):
        terminalreporter.write_line(f"{name:44} {len(worst):4} cases   worst {max(worst):.1e}")


@pytest.fixture(scope="session")
def parity() -> Callable[..., None]:
    return assert_parity


@pytest.fixture(scope="session")
def ask() -> Callable[..., torch.Tensor]:
    return ask_logits


@pytest.fixture()
def tiny_pocket() -> ModelSpec:
    """A model of the pocket family, as small as it runs."""
    width = 32
    encoder = replace(tiny.SIGLIP, tile_px=56, dim=width, layers=1, layer=-1)
    llm = LlmSpec(
        kind="llama",
        hidden=width,
        layers=2,
        heads=2,
        kv_heads=2,
        mlp=48,
        vocab=len(VOCABULARY),
        context=256,
        rope_theta=10000.0,
    )
    return ModelSpec(
        name="tiny",
        encoder=encoder,
        projector=ProjectorSpec(kind="mlp2x_gelu", dim_in=width, dim_out=width),
        llm=llm,
        grid=GridSpec(),
        video=VideoSpec(pool=1, pool_mode="none"),
        template="pocket",
    )
