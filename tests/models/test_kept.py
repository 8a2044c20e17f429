"""Kept tokens alone are projected: two tables pack what one packs, and pieces give what a whole gives."""

import pytest
import torch
from torch import nn

from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.lower import lower
from anyres.plan import plan_image
from kernels.pack.op import pack
from models.kept import CPU_ROWS, halves, project, project_kept
from video.clip import VideoSpec
from video.plan import plan_clip

TILE = TileSpec(px=56, tok=4)
LAYOUTS = (HW(1, 2), HW(2, 1), HW(2, 2))
PLANS = {
    "images": [plan_image(HW(90, 200), GridSpec(layouts=LAYOUTS), TILE), plan_image(HW(56, 56), GridSpec(), TILE)],
    "shrunk": [plan_image(HW(200, 190), GridSpec(layouts=LAYOUTS, target_tiles=1), TILE)],
    "clip": [plan_clip(HW(50, 60), 3, VideoSpec(pool=2, pool_mode="average", end="frame"), TILE)],
    "slow and fast": [plan_clip(HW(50, 60), 4, VideoSpec(pool=2, pool_mode="max", slow_every=2, end="grid"), TILE)],
}


@pytest.mark.parametrize("name", [*PLANS, "all"])
def test_two_tables_pack_what_one_packs(name: str) -> None:
    torch.manual_seed(0)
    table = lower([plan for plans in PLANS.values() for plan in plans] if name == "all" else PLANS[name])
    ends_KD = torch.randn(2, 8, requires_grad=True)
    features_NPD = torch.randn(table.num_source // 16, 16, 8, requires_grad=True)
    picked, closed = halves(table)
    kept_U1D = pack(features_NPD, ends_KD[:1], picked)[:, None]
    found_TD, right_TD = pack(kept_U1D, ends_KD, closed), pack(features_NPD, ends_KD, table)
    assert picked.num_ends == 0 and len(kept_U1D) < table.num_tokens == closed.num_tokens
    assert torch.equal(found_TD, right_TD)
    weight_TD = torch.randn_like(found_TD)
    found, right = (
        torch.autograd.grad((packed_TD * weight_TD).sum(), (features_NPD, ends_KD))
        for packed_TD in (found_TD, right_TD)
    )
    for mine, wanted in zip(found, right, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-6)


def test_an_image_without_end_vectors_is_closed_by_none() -> None:
    table = lower([plan_image(HW(56, 56), GridSpec(merge="flat"), TILE)])
    features_NPD = torch.randn(table.num_source // 16, 16, 8)
    projector = nn.Linear(8, 3)
    projected_U1D, closed = project_kept(features_NPD, table, projector)
    right_NPD = projector(features_NPD)
    assert torch.equal(pack(projected_U1D, torch.randn(1, 3), closed), pack(right_NPD, torch.randn(1, 3), table))


@pytest.mark.parametrize("shape", [(2 * CPU_ROWS + 5, 1, 8), (5, CPU_ROWS // 2, 8), (1, CPU_ROWS + 1, 8)])
def test_pieces_give_what_a_whole_gives(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    projector, features_NPE = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 4)), torch.randn(shape)
    rows: list[int] = []
    projector.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0][..., 0].numel()))
    with torch.no_grad():
        found = project(features_NPE, projector)
    right = project(features_NPE, projector)
    assert rows[-1] == features_NPE[..., 0].numel() and right.requires_grad
    assert len(rows) == (4 if len(features_NPE) > 1 else 2)
    torch.testing.assert_close(found, right.detach(), rtol=0, atol=1e-6)
