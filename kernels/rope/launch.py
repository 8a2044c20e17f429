"""Start the rotary kernel: one launch for queries and keys, none where there are no positions.

Legend: B rows, H query heads, G key heads, L positions, D head width, R = half of the rotated channels.
"""

import torch
import triton
from torch import Tensor

from kernels.pack.launch import LANES, checked
from kernels.rope.kernel import rope_kernel

# numbers of one half of the rotated channels that a program holds
NUMBERS = 2048


def launch(
    q_BHLD: Tensor,
    k_BGLD: Tensor,
    cos_BLR: Tensor,
    sin_BLR: Tensor,
    q_out_BHLD: Tensor,
    k_out_BGLD: Tensor,
    *,
    inverse: bool = False,
) -> None:
    """Write rotated queries and keys; the outputs may be the inputs. Channels of a head lie next to each other."""
    rows, q_heads, length, width = q_BHLD.shape
    k_heads, half = k_BGLD.shape[1], cos_BLR.shape[2]
    in_place = q_out_BHLD is q_BHLD
    heads, block, warps = head_block(max(q_heads, k_heads), half, q_BHLD.element_size())
    grid = (rows * length, triton.cdiv(q_heads, heads) + triton.cdiv(k_heads, heads))
    if min(checked(grid)) == 0 or half == 0:
        return
    rest = 0 if in_place else width - 2 * half
    with torch.cuda.device_of(q_BHLD):
        rope_kernel[grid](
            q_BHLD,
            k_BGLD,
            q_out_BHLD,
            k_out_BGLD,
            cos_BLR,
            sin_BLR,
            length,
            *q_BHLD.stride()[:3],
            *k_BGLD.stride()[:3],
            *q_out_BHLD.stride()[:3],
            *k_out_BGLD.stride()[:3],
            *cos_BLR.stride()[:2],
            Q_HEADS=q_heads,
            K_HEADS=k_heads,
            HALF=half,
            REST=rest,
            HEADS=heads,
            BLOCK=block,
            REST_BLOCK=max(triton.next_power_of_2(rest), 16),
            SIGN=-1.0 if inverse else 1.0,
            num_warps=warps,
        )


def head_block(heads: int, half: int, itemsize: int, lanes: int = LANES) -> tuple[int, int, int]:
    """Return (HEADS, BLOCK, warps) of a program: all heads, or as many as 2,048 numbers of a half hold.

    No more warps than leave 16 bytes of a half to each of their threads.
    """
    block = max(triton.next_power_of_2(half), 16)
    heads = min(triton.next_power_of_2(heads), max(NUMBERS // block, 1))
    return heads, block, min(max(heads * block * itemsize // (16 * lanes), 1), 4)
