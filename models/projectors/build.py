"""The map from encoder features to language model vectors: linear layers with GELU between, then residual blocks.

Legend: N tiles, P tokens of a tile, D widths.
"""

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from models.projectors.kinds import parts_of
from models.spec import ProjectorSpec


@final
class Residual(nn.Module):
    """Two linear layers beside a skip that carries the normalised value, with the released names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pre_norm = nn.LayerNorm(width)
        self.proj = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, features_NPD: Tensor) -> Tensor:
        """Return features [N, P, D] of the same shape."""
        normal_NPD = self.pre_norm(features_NPD)
        return normal_NPD + self.proj(normal_NPD)


@final
class Projector(nn.Module):
    """Layers numbered as released checkpoints number them: linear at 0, 2, 4, ... with exact (erf) GELU between, then
    residual blocks; none of them for the identity."""

    def __init__(self, spec: ProjectorSpec) -> None:
        super().__init__()
        self.spec = spec
        parts = parts_of(spec.kind)
        widths = [spec.dim_in] + [spec.dim_out] * parts.linears
        linears = [nn.Linear(dim_in, dim_out) for dim_in, dim_out in pairwise(widths)]
        later = [module for linear in linears[1:] for module in (nn.GELU(), linear)]
        blocks = [Residual(spec.dim_out) for _ in range(parts.residuals)]
        self.layers = nn.Sequential(*linears[:1], *later, *blocks)

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
