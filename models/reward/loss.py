"""What a reward model learns from pairs of answers of which one was preferred.

Legend: B pairs.
"""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

CENTRE = 1e-3


def reward_loss(first_B: Tensor, second_B: Tensor, choice_B: Tensor) -> Tensor:
    """Return the mean loss of LLaVA-RLHF's reward model over pairs of rewards.

    choice_B: 0 where the first answer was preferred, 1 where the second was. The loss is
    BCE(sigmoid(r1 - r0), choice) + 0.001 |mean(r1 + r0)|; the second term keeps rewards around 0, which the first one
    does not see. With a choice of 1 the first term is -log sigmoid(r1 - r0).
    """
    preference = binary_cross_entropy_with_logits(second_B - first_B, choice_B.to(first_B.dtype))
    return preference + CENTRE * (second_B + first_B).mean().abs()
