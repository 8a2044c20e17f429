"""The transformers config of a vision tower, from its spec; and the releases' colours."""

from typing import Any

from models.encoders.hf import ACTIVATIONS
from models.encoders.spec import RGB, EncoderSpec

KINDS = {"hf_clip": "clip_vision_model", "hf_siglip": "siglip_vision_model"}
CLIP_MEAN: RGB = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: RGB = (0.26862954, 0.26130258, 0.27577711)
SIGLIP_MEAN: RGB = (0.5, 0.5, 0.5)
SIGLIP_STD: RGB = (0.5, 0.5, 0.5)


def tower_config(spec: EncoderSpec, layers: int | None = None) -> dict[str, Any]:
    """Return the transformers config of a tower, with its number of blocks or another one.

    Raises ValueError for a backend that transformers does not have.
    """
    if spec.backend not in KINDS:
        raise ValueError(f"encoder.backend {spec.backend!r} has no transformers config; expected {', '.join(KINDS)}")
    config = {
        "model_type": KINDS[spec.backend],
        "image_size": spec.tile_px,
        "patch_size": spec.patch_px,
        "hidden_size": spec.dim,
        "num_hidden_layers": layers or spec.layers,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.mlp,
        "hidden_act": ACTIVATIONS[spec.act],
        "layer_norm_eps": spec.norm_eps,
    }
    return config | ({"vision_use_head": False} if spec.backend == "hf_siglip" else {})
