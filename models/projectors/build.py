"""The map from encoder features to language model vectors: a linear layer, or several with GELU between.

Legend: N tiles, P tokens of a tile, D widths.
"""

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from models.spec import ProjectorSpec

# linear layers of each kind
DEPTHS = {"linear": 1, "mlp2x_gelu": 2, "mlp3x_gelu": 3, "mlp4x_gelu": 4}


@final
class Projector(nn.Module):
    """Linear layers at 0, 2, 4, ... of `layers`, as released checkpoints number them, exact (erf) GELU between."""

    def __init__(self, spec: ProjectorSpec) -> None:
        super().__init__()
        if spec.kind not in DEPTHS:
            raise ValueError(f"projector.kind: expected one of {', '.join(DEPTHS)}, got {spec.kind!r}")
        self.spec = spec
        widths = [spec.dim_in] + [spec.dim_out] * DEPTHS[spec.kind]
        linear, *rest = (nn.Linear(dim_in, dim_out) for dim_in, dim_out in pairwise(widths))
        self.layers = nn.Sequential(linear, *(module for later in rest for module in (nn.GELU(), later)))

    def forward(self, features_NPD: Tensor) -> Tensor:
        """Return projected features [N, P, dim_out] from encoder features [N, P, dim_in]."""
        return self.layers(features_NPD)


def build_projector(
    spec: ProjectorSpec, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Projector:
    """Return a projector with random weights; ValueError for an unknown kind."""
    with torch.device(device):
        projector = Projector(spec)
    return projector if dtype is None else projector.to(dtype)
