"""Plan random images and clips, and pack some of them: planned tokens are produced tokens, and no plan breaks a rule.

    python -m video.bench.plans --cases 100000 --produced 2000 --seed 7

Prints one JSON object. Exits with 1 when a rule is broken, naming the first case of each.

Legend: N tiles, P tokens of a tile, D width, K end vectors, T tokens.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from random import Random

import torch

from anyres.budget import fit_images
from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.lower import lower
from anyres.plan import VisualPlan, plan_image
from kernels.pack.op import pack
from video.budget import clip_tokens, frames_that_fit
from video.clip import ClipMeta, VideoSpec
from video.plan import plan_clip, slots
from video.sampling import POLICIES, sample

MOST_PX = 20_000
TILES = (TileSpec(px=336, tok=24), TileSpec(px=384, tok=27), TileSpec(px=224, tok=16), TileSpec(px=42, tok=3))
# what is packed stays within this many tokens: 60 MB of one channel
MOST_PRODUCED = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to plan: an image, or a clip with its video settings, its header and its sampled frames."""

    size: HW
    tile: TileSpec
    grid: GridSpec
    video: VideoSpec | None = None
    meta: ClipMeta | None = None
    indices: tuple[int, ...] = (0,)

    def plan(self) -> VisualPlan:
        """Return the plan."""
        if self.video is None:
            return plan_image(self.size, self.grid, self.tile)
        return plan_clip(self.size, len(self.indices), self.video, self.tile, self.grid)


def draw_case(random: Random) -> Case:
    """Return a case that is allowed: everything but the numbers' range is up to chance."""
    size = HW(_side(random), _side(random))
    tile, grid = random.choice(TILES), _grid(random)
    if random.random() < 0.6:
        return Case(size=size, tile=tile, grid=grid)
    frames = random.choice((1, 2, random.randint(1, 100), random.randint(1, 200_000)))
    fps = random.choice((0.2, 1.0, 24.0, 29.97, 60.0))
    meta = ClipMeta(num_frames=frames, fps=fps, size=size, duration_s=frames / fps)
    video = _video(random, tile, meta)
    indices = sample(meta, video, keyframes=range(0, frames, 12))
    return Case(size=size, tile=tile, grid=grid, video=video, meta=meta, indices=indices)


def broken_rules(case: Case, plan: VisualPlan) -> list[str]:
    """Return the rules that a plan breaks; see docs/plan.md."""
    found = []
    if case.plan() != plan:
        found.append("a second plan differs")
    for segment in plan.segments:
        if not segment.crop_tok.inside(plan.canvas_tok(segment.canvas)):
            found.append("a crop leaves its canvas")
        if segment.out.h > segment.crop_tok.h or segment.out.w > segment.crop_tok.w:
            found.append("tokens are made up")
        if segment.out.area < 1 and case.grid.thin == "keep":
            found.append("a segment without tokens")
    if {canvas.frame for canvas in plan.canvases} != set(range(len(case.indices))):
        found.append("frames are missing")
    return found + (_image_rules(case, plan) if case.video is None else _clip_rules(case, case.video, plan))


def produced(plan: VisualPlan) -> tuple[int, int]:
    """Return how many tokens, and how many end vectors among them, packing makes of a plan."""
    features_NPD = torch.ones(plan.num_tiles, plan.tile.tok**2, 1)
    tokens_TD = pack(features_NPD, torch.tensor([[7.0], [9.0]]), lower([plan]))
    return len(tokens_TD), int((tokens_TD > 5).sum())


def main() -> int:
    """Run the command; return 1 where a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--produced", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    report = run(**vars(parser.parse_args()))
    print(json.dumps(report, indent=1))
    return 1 if report["broken"] else 0


def run(cases: int, produced: int, seed: int) -> dict[str, object]:
    """Return the figures of so many cases, of which `produced`, evenly spread, are packed too."""
    random, started = Random(seed), time.perf_counter()
    broken: Counter[str] = Counter()
    first: dict[str, str] = {}
    packed = clips = mismatched = most = 0
    due = 0.0
    for number in range(cases):
        case = draw_case(random)
        clips += case.video is not None
        try:
            plan = case.plan()
            rules = broken_rules(case, plan)
        except (ValueError, AssertionError, ArithmeticError, IndexError) as error:
            plan, rules = None, [f"{type(error).__name__}: {error}"]
        for rule in rules:
            broken[rule] += 1
            first.setdefault(rule, f"case {number}: {json.dumps(asdict(case), default=str)}")
        if plan is None:
            continue
        most = max(most, plan.num_tokens)
        # a plan too large to pack leaves its turn to the next
        if packed < produced and number >= due and plan.num_tiles * plan.tile.tok**2 <= MOST_PRODUCED:
            packed, due = packed + 1, due + cases / produced
            mismatched += _mismatched(plan)
    return {
        "cases": cases,
        "clips": clips,
        "produced": packed,
        "planned_is_not_produced": mismatched,
        "most_tokens": most,
        "broken": dict(broken) | ({"planned is not produced": mismatched} if mismatched else {}),
        "first": first,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _mismatched(plan: VisualPlan) -> bool:
    return produced(plan) != (plan.num_tokens, plan.num_ends)


def _image_rules(case: Case, plan: VisualPlan) -> list[str]:
    found = []
    turned = replace(case.grid, layouts=tuple(layout.transposed for layout in case.grid.layouts))
    other = plan_image(case.size.transposed, turned, case.tile)
    if case.grid.layouts:
        if plan.canvases[-1].tiles != other.canvases[-1].tiles.transposed:
            found.append("swapping height and width does not swap the layout")
        if plan.segments[-1].out != other.segments[-1].out.transposed:
            found.append("swapping height and width does not swap the tokens")
    target = case.grid.target(case.tile)
    if target is not None and case.grid.rule == "blog" and case.grid.layouts and plan.num_tokens > target:
        found.append("more tokens than the blog's target")
    budget = max(1, plan.num_tokens * 2 - 1)
    try:
        shared = fit_images([case.size, case.size], case.grid, case.tile, budget)
    except ValueError:
        # a grid that cannot be lowered says so
        return found
    if sum(one.num_tokens for one in shared) > budget:
        found.append("more tokens than the budget")
    return found


def _clip_rules(case: Case, video: VideoSpec, plan: VisualPlan) -> list[str]:
    found, frames = [], len(case.indices)
    if clip_tokens(frames, video, case.tile, case.size, case.grid) != plan.num_tokens:
        found.append("clip_tokens differs from the plan")
    if sum(slots(plan, video)) != plan.num_tokens:
        found.append("slots differ from the plan")
    # any number of frames without a token fits: only thin frames as released have none
    empty = plan.num_tokens == 0 and case.grid.thin == "released"
    room = plan.num_tokens + 5
    if not empty and frames_that_fit(room, 5, video, case.tile, size=case.size, grid=case.grid) != frames:
        found.append("the frames that fit a plan's own tokens are not its frames")
    indices = case.indices
    if list(indices) != sorted(indices) or indices[0] < 0 or case.meta is None or indices[-1] >= case.meta.num_frames:
        found.append("frames out of order or out of the clip")
    return found


def _side(random: Random) -> int:
    return random.choice((random.randint(1, 40), random.randint(1, 2000), random.randint(1, MOST_PX)))


def _grid(random: Random) -> GridSpec:
    count = random.randint(0, 6)
    layouts = tuple({HW(random.randint(1, 6), random.randint(1, 6)) for _ in range(count)})
    rule = random.choice(("released", "released", "blog"))
    merge = random.choice(("spatial_unpad", "spatial_unpad", "spatial", "flat", "spatial_maxpool2x2"))
    overview = random.choice(("squash", "pad", "crop", "none") if layouts and rule == "released" else ("squash", "pad"))
    shrinks = rule == "blog" or merge in ("spatial_unpad", "spatial")
    # room for a token a view under the blog's rule
    target = random.randint(64, 9000) if shrinks and merge != "spatial_maxpool2x2" and random.random() < 0.6 else None
    return GridSpec(
        layouts=layouts,
        target_tok=target,
        slack=random.choice((1.0, 1.1, 1.5)),
        rule=rule,
        overview=overview,
        merge=merge,
        rounding=random.choice(("released", "transformers")),
        thin=random.choice(("keep", "keep", "released")),
    )


def _video(random: Random, tile: TileSpec, meta: ClipMeta) -> VideoSpec:
    policy = random.choice(sorted(POLICIES))
    count = random.randint(1, 64)
    last_s = (meta.num_frames - 1) / meta.fps
    common = {
        "policy": policy,
        "num_frames": count,
        "fps": random.choice((0.5, 1.0, 4.0)),
        "times_s": tuple(sorted(random.uniform(0, last_s) for _ in range(count))),
        "segments_s": ((0.0, last_s / 2), (last_s / 3, last_s)),
    }
    as_images = random.choice(("clip", "clip", "clip", "images", "anyres"))
    if as_images != "clip":
        few = {"num_frames": min(count, 4), "times_s": common["times_s"][:4]}
        return VideoSpec(**common | few, frames_as=as_images, pool_mode="none", end="no_token")
    mode = random.choice(("average", "bilinear", "max", "none"))
    # the fast frames of SlowFast are pooled by twice the stride
    most = tile.tok // 2
    slow = random.randint(1, 12) if mode != "none" and most >= 1 and random.random() < 0.3 else None
    pool = random.randint(1, min(8, max(1, most if slow else tile.tok)))
    end = "grid" if slow else random.choice(("grid", "frame", "one_token", "no_token"))
    return VideoSpec(**common, pool=pool, pool_mode=mode, end=end, slow_every=slow)


if __name__ == "__main__":
    sys.exit(main())
