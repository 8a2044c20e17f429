"""CLIP and SigLIP towers of transformers, computed up to the hidden state that is read.

transformers would compute every block and keep all hidden states; here the blocks behind the selected one never run.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile (prefix included until dropped), D width.
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import final

from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel
from transformers.initialization import no_init_weights

from models.encoders.spec import Activation, EncoderSpec

# our names -> transformers' names
ACTIVATIONS: dict[Activation, str] = {"quick_gelu": "quick_gelu", "gelu_tanh": "gelu_pytorch_tanh", "gelu": "gelu"}


@final
class HfClip(nn.Module):
    """A CLIP tower: class token, layer norm before the first block. Output of the selected block without the class."""

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        self.spec = spec
        with nullcontext() if initialise else no_init_weights():
            self.tower = CLIPVisionModel(CLIPVisionConfig(**_sizes(spec)))

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        hidden_NPD = self.tower.pre_layrnorm(self.tower.embeddings(pixels_NCHW))
        hidden_NPD = _run(self.tower.encoder.layers[: self.spec.blocks_run], hidden_NPD)
        return hidden_NPD[:, self.spec.prefix_tokens :]

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        self.tower.load_state_dict(state)


@final
class HfSiglip(nn.Module):
    """A SigLIP or fixed-resolution SigLIP2 tower without its pooling head. Output of the selected block."""

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        self.spec = spec
        with nullcontext() if initialise else no_init_weights():
            self.tower = SiglipVisionModel(SiglipVisionConfig(**_sizes(spec), vision_use_head=False))

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        hidden_NPD = self.tower.embeddings(pixels_NCHW)
        return _run(self.tower.encoder.layers[: self.spec.blocks_run], hidden_NPD)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        self.tower.load_state_dict(state)


def _sizes(spec: EncoderSpec) -> dict[str, int | float | str]:
    return {
        "hidden_size": spec.dim,
        "intermediate_size": spec.mlp,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "image_size": spec.tile_px,
        "patch_size": spec.patch_px,
        "hidden_act": ACTIVATIONS[spec.act],
        "layer_norm_eps": spec.norm_eps,
    }


def _run(blocks: Iterable[nn.Module], hidden_NPD: Tensor) -> Tensor:
    for block in blocks:
        hidden_NPD = block(hidden_NPD, attention_mask=None)
    return hidden_NPD
