"""A tiny model with random weights, of the same parts as the one that ships."""

import pytest
import torch

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import build_model
from models.encoders.spec import EncoderSpec
from models.lmm import LMM
from models.pocket.tokenizer import build_tokenizer
from models.processor import Processor
from models.spec import LlmSpec, ModelSpec, ProjectorSpec
from video.clip import VideoSpec

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="session")
def tiny() -> tuple[LMM, Processor]:
    tokenizer = build_tokenizer()
    vocab = tokenizer.get_vocab_size()
    spec = ModelSpec(
        name="tiny",
        encoder=EncoderSpec(
            backend="hf_siglip", weights="", tile_px=56, patch_px=14, dim=16, layers=1, heads=2, mlp=16, layer=-1,
            prefix_tokens=0, mean=HALF, std=HALF, act="gelu_tanh", norm_eps=1e-6,
        ),
        projector=ProjectorSpec(kind="mlp2x_gelu", dim_in=16, dim_out=16),
        llm=LlmSpec(
            kind="llama", hidden=16, layers=1, heads=2, kv_heads=2, mlp=16, vocab=vocab, context=256, rope_theta=1e4
        ),
        grid=GridSpec(layouts=(HW(2, 2),)),
        video=VideoSpec(num_frames=2, pool=1),
        template="pocket",
    )  # fmt: skip
    raw = {
        "model_type": "llama",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": vocab,
        "max_position_embeddings": 256,
    }
    torch.manual_seed(0)
    model = build_model(spec, raw).eval()
    # large weights: the answer depends on every token that was read
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.7)
    return model, Processor(spec, tokenizer)
