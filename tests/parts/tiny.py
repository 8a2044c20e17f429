"""Encoders small enough for a test, which differ from them by `dataclasses.replace`."""

from dataclasses import replace

from models.encoders.spec import EncoderSpec

# 42 px tiles of 3 x 3 tokens
CLIP = EncoderSpec(
    backend="hf_clip",
    weights="",
    tile_px=42,
    patch_px=14,
    dim=32,
    layers=3,
    heads=2,
    mlp=48,
    layer=-2,
    prefix_tokens=1,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    act="quick_gelu",
    norm_eps=1e-5,
)
SIGLIP = replace(
    CLIP, backend="hf_siglip", prefix_tokens=0, act="gelu_tanh", norm_eps=1e-6, mean=(0.5,) * 3, std=(0.5,) * 3
)
# 32 px tiles of 4 x 4 tokens
NAFLEX = replace(SIGLIP, backend="hf_siglip2", tile_px=32, patch_px=8, mlp=72)
