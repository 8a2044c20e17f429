"""CLIP, SigLIP, SigLIP2 and DINOv2 towers of transformers, computed up to the hidden states that are read.

transformers would compute every block and keep all hidden states; here the blocks behind the last selected one never
run. Where the tile is not the trained one, the position embedding is resized by transformers' own code.

Legend: N tiles, C colours, H W pixels of a tile, P tokens of a tile, D width, Q values of a patch.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import final

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers import Siglip2VisionConfig as NaFlexConfig
from transformers import Siglip2VisionModel as NaFlexModel
from transformers.initialization import no_init_weights

from models.encoders.spec import Activation, EncoderSpec
from models.encoders.states import run_to_states

# our names -> transformers' names; "swiglu" is a kind of MLP there, not an activation
ACTIVATIONS: dict[Activation, str] = {"quick_gelu": "quick_gelu", "gelu_tanh": "gelu_pytorch_tanh", "gelu": "gelu"}


@final
class HfClip(nn.Module):
    """A CLIP tower: class token, layer norm before the first block. Selected hidden states without the class."""

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        self.spec = spec
        with nullcontext() if initialise else no_init_weights():
            self.tower = CLIPVisionModel(CLIPVisionConfig(**_sizes(spec), image_size=spec.position_px))

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        resize = self.spec.position_px != self.spec.tile_px
        hidden_NPD = self.tower.embeddings(pixels_NCHW, interpolate_pos_encoding=resize)
        hidden_NPD = self.tower.pre_layrnorm(hidden_NPD)
        return run_to_states(self.tower.encoder.layers, hidden_NPD, self.spec, attention_mask=None)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        self.tower.load_state_dict(state)


@final
class HfSiglip(nn.Module):
    """A SigLIP or fixed-resolution SigLIP2 tower without its pooling head. Selected hidden states."""

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        self.spec = spec
        config = SiglipVisionConfig(**_sizes(spec), image_size=spec.position_px, vision_use_head=False)
        with nullcontext() if initialise else no_init_weights():
            self.tower = SiglipVisionModel(config)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        resize = self.spec.position_px != self.spec.tile_px
        hidden_NPD = self.tower.embeddings(pixels_NCHW, interpolate_pos_encoding=resize)
        return run_to_states(self.tower.encoder.layers, hidden_NPD, self.spec, attention_mask=None)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        self.tower.load_state_dict(state)


@final
class HfSiglip2(nn.Module):
    """A SigLIP2 NaFlex tower without its pooling head, on square tiles of any number of patches.

    The position embedding is resized with antialiased bilinear weights, as transformers does for every image. All
    tiles have one size and no padding, so no attention mask is needed.
    """

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        if spec.tile_px % spec.patch_px or spec.position_px % spec.patch_px:
            raise ValueError(
                f"encoder: a NaFlex tower reads whole patches, but tile_px {spec.tile_px} or trained_px "
                f"{spec.position_px} is no multiple of patch_px {spec.patch_px}"
            )
        self.spec = spec
        positions = (spec.position_px // spec.patch_px) ** 2
        with nullcontext() if initialise else no_init_weights():
            self.tower = NaFlexModel(NaFlexConfig(**_sizes(spec), num_patches=positions, vision_use_head=False))

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        embeddings = self.tower.embeddings
        tok = self.spec.tile.tok
        side = self.spec.position_px // self.spec.patch_px
        positions_TTD = embeddings.position_embedding.weight.unflatten(0, (side, side))
        # one tile stands for all: they have one size
        positions_1PD = embeddings.resize_positional_embeddings(positions_TTD, torch.tensor([[tok, tok]]), tok**2)
        patches_NPQ = patches(pixels_NCHW, self.spec.patch_px).to(embeddings.patch_embedding.weight.dtype)
        hidden_NPD = embeddings.patch_embedding(patches_NPQ) + positions_1PD
        return run_to_states(self.tower.encoder.layers, hidden_NPD, self.spec, attention_mask=None)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        self.tower.load_state_dict(state)


@final
class HfDinov2(nn.Module):
    """A DINOv2 tower: a class token, then any registers, both dropped. Selected hidden states.

    The position embedding is always resized where the tile is not the trained one, as transformers does.
    """

    def __init__(self, spec: EncoderSpec, initialise: bool = True) -> None:
        super().__init__()
        if spec.prefix_tokens < 1:
            raise ValueError(f"encoder: a DINOv2 tower has a class token, got prefix_tokens {spec.prefix_tokens}")
        self.spec = spec
        with nullcontext() if initialise else no_init_weights():
            self.tower = _dinov2(spec)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Return features [N, P, D] of normalised tiles."""
        hidden_NPD = self.tower.embeddings(pixels_NCHW)
        return run_to_states(self.tower.encoder.layer, hidden_NPD, self.spec, attention_mask=None)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a complete state dict in transformers' names."""
        self.tower.load_state_dict(state)


def patches(pixels_NCHW: Tensor, patch_px: int) -> Tensor:
    """Return patches [N, P, Q], row-major; the values of one by row, column, colour, as NaFlex towers read them."""
    return rearrange(pixels_NCHW, "n c (h y) (w x) -> n (h w) (y x c)", y=patch_px, x=patch_px)


def swiglu_width(dim: int, ratio: int) -> int:
    """Return the hidden width of DINOv2's SwiGLU: two thirds of dim * ratio, up to a multiple of 8."""
    return (int(dim * ratio * 2 / 3) + 7) // 8 * 8


def _dinov2(spec: EncoderSpec) -> Dinov2Model | Dinov2WithRegistersModel:
    gated = spec.act == "swiglu"
    ratio = round(spec.mlp * (1.5 if gated else 1) / spec.dim)
    built = swiglu_width(spec.dim, ratio) if gated else spec.dim * ratio
    if built != spec.mlp:
        raise ValueError(f"encoder: mlp {spec.mlp} of a DINOv2 tower of width {spec.dim}; the nearest is {built}")
    sizes = {name: value for name, value in _sizes(spec).items() if name != "intermediate_size"}
    sizes |= {"image_size": spec.position_px, "mlp_ratio": ratio, "use_swiglu_ffn": gated}
    if spec.prefix_tokens == 1:
        return Dinov2Model(Dinov2Config(**sizes))
    return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**sizes, num_register_tokens=spec.prefix_tokens - 1))


def _sizes(spec: EncoderSpec) -> dict[str, int | float | str]:
    if spec.act == "swiglu" and spec.backend != "hf_dinov2":
        raise ValueError(f"encoder.act: {spec.backend} has no 'swiglu', expected one of {', '.join(ACTIVATIONS)}")
    return {
        "hidden_size": spec.dim,
        "intermediate_size": spec.mlp,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "patch_size": spec.patch_px,
        # a gated MLP does not read it
        "hidden_act": ACTIVATIONS.get(spec.act, "silu"),
        "layer_norm_eps": spec.norm_eps,
    }
