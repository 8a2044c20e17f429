"""The hidden states that a spec takes, side by side on the channels, without running a block more than they need.

Also the released names for sets of hidden states, as the tuples that EncoderSpec.layer declares.

Legend: N tiles, P tokens of a tile (prefix included until dropped), D width of the tower, W of all states together.
"""

from typing import Any

import torch
from torch import Tensor, nn

from models.encoders.spec import EncoderSpec


def run_to_states(
    blocks: nn.ModuleList | nn.Sequential, hidden_NPD: Tensor, spec: EncoderSpec, **arguments: Any
) -> Tensor:
    """Return [N, P, W]: the hidden states of spec.states in that order, without the prefix tokens.

    hidden_NPD: the input of the first block, state 0. arguments: what every block gets besides.
    """
    kept = {0: hidden_NPD}
    for number, block in enumerate(blocks[: spec.blocks_run], start=1):
        hidden_NPD = block(hidden_NPD, **arguments)
        if number in spec.states:
            kept[number] = hidden_NPD
    return side_by_side([kept[state][:, spec.prefix_tokens :] for state in spec.states])


def side_by_side(features: list[Tensor]) -> Tensor:
    """Return features [N, P, D1], [N, P, D2], ... as [N, P, D1 + D2 + ...]; a single one as it is."""
    return features[0] if len(features) == 1 else torch.cat(features, dim=-1)


def slice_four(num_states: int, layer: int) -> tuple[int, ...]:
    """Return the states of mm_vision_select_feature "slicefour_patch": one in num_states // 4, from step + layer on.

    num_states: blocks and one. For the 25 of CLIP-L and layer -2: 4, 10, 16, 22. A first state below 0 counts from the
    end, as in the released code.
    """
    step = num_states // 4
    if step < 1:
        raise ValueError(f"slicefour: {num_states} hidden states, expected at least 4")
    return tuple(range(step + layer, num_states, step))


# the states of mm_vision_select_feature "slice_m25811_f6_patch"
SLICE_M25811_F6 = (-2, -5, -8, -11, 6)
