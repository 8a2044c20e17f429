"""Put many tiles through an encoder: in calls of bounded size, with the attention and the precision that were chosen.

Tiles of 8 bits are normalised call by call, on the encoder's device: no more of them is wide than one call reads.

Legend: N tiles, C channels, H W pixels of a tile, P tokens of a tile, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from anyres.pixels import normalise
from models.compute import Attention, Encoding
from models.encoders.protocol import VisionEncoder
from models.encoders.spec import EncoderSpec

# a CPU's caches and its allocator are served best by calls of no more; a GPU wants all that fits
CPU_TOKENS = 4096

# which kernels torch's scaled_dot_product_attention may take
BACKENDS: dict[Attention, SDPBackend] = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def encode(
    encoder: VisionEncoder, pixels_NCHW: Tensor, encoding: Encoding, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return features [N, P, D] of tiles in `dtype`; arguments as for `encoded`."""
    calls = encoded(encoder, pixels_NCHW, encoding, dtype)
    first_NPD = next(calls)
    if len(first_NPD) == len(pixels_NCHW):
        return first_NPD
    if torch.is_grad_enabled():
        return torch.cat([first_NPD, *calls])
    features_NPD = first_NPD.new_empty(len(pixels_NCHW), *first_NPD.shape[1:])
    start = 0
    for part_NPD in chain([first_NPD], calls):
        features_NPD[start : start + len(part_NPD)] = part_NPD
        start += len(part_NPD)
    return features_NPD


def encoded(
    encoder: VisionEncoder, pixels_NCHW: Tensor, encoding: Encoding, dtype: torch.dtype = torch.float32
) -> Iterator[Tensor]:
    """Yield the features [., P, D] of tiles in order, call by call; calls differ by at most one tile in size.

    pixels_NCHW: uint8, or normalised already. On a CPU no call reads more than CPU_TOKENS, unless no bound is set.
    """
    tile, most = encoder.spec.tile, encoding.tokens
    if most is not None and pixels_NCHW.device.type == "cpu":
        most = min(most, CPU_TOKENS)
    for part_NCHW in pixels_NCHW.split(call_sizes(len(pixels_NCHW), tile.tok**2 + encoder.spec.prefix_tokens, most)):
        with _chosen(encoding, pixels_NCHW.device.type):
            features_NPD = encoder(_normalised(part_NCHW, encoder.spec, dtype)).to(dtype)
        yield features_NPD


def _normalised(pixels_NCHW: Tensor, spec: EncoderSpec, dtype: torch.dtype) -> Tensor:
    if pixels_NCHW.dtype == torch.uint8:
        return normalise(pixels_NCHW, spec.mean, spec.std, dtype)
    return pixels_NCHW.to(dtype)


def call_sizes(tiles: int, tokens_per_tile: int, tokens: int | None) -> list[int]:
    """Return how many tiles each call gets: the fewest calls within `tokens`, of one size or two that differ by 1."""
    if tokens is None or tiles == 0:
        return [tiles]
    most = max(tokens // tokens_per_tile, 1)
    calls = -(-tiles // most)
    small, larger = divmod(tiles, calls)
    return [small + 1] * larger + [small] * (calls - larger)


@contextmanager
def _chosen(encoding: Encoding, device: str) -> Iterator[None]:
    dtype = None if encoding.autocast is None else getattr(torch, encoding.autocast)
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        if encoding.attention == "auto":
            yield
        else:
            with sdpa_kernel(BACKENDS[encoding.attention]):
                yield
