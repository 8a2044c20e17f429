"""Permutation test of a paired difference: whole clusters change sides, which asks for no distribution at all.

If two settings are alike, the difference of a cluster is as likely to be negative as positive: p is the share of sign
flips whose difference is at least as large as the one seen. Up to 2 ** 14 flips are counted in full, more are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# so many clusters have all their flips counted
EXACT = 14
_SLACK = 1e-12


def sign_flip_p(
    new: Sequence[float],
    base: Sequence[float],
    clusters: Sequence[str],
    strata: Sequence[str],
    *,
    replicates: int = 10_000,
    seed: int = 0,
) -> float:
    """Return the two-sided p of the mean over strata of new - base, by flipping the signs of whole clusters.

    Drawn flips count the one seen among them, so that p is never 0 (Phipson and Smyth, 2010). Raises ValueError for
    unequal lengths and for no samples.
    """
    if not new or not len(new) == len(base) == len(clusters) == len(strata):
        raise ValueError(
            f"sign_flip_p: {len(new)} new scores, {len(base)} of the baseline, {len(clusters)} clusters, {len(strata)} "
            "strata; expected equally many and at least one"
        )
    deltas = [a - b for a, b in zip(new, base, strict=True)]
    weighted = _weighted(deltas, strata)
    sums: dict[str, float] = {}
    for value, cluster in zip(weighted, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value
    sums_G = np.array([sums[name] for name in sorted(sums)], dtype=np.float64)
    seen = abs(float(sums_G.sum()))
    moving_G = sums_G[sums_G != 0]
    if len(moving_G) == 0:
        return 1.0
    if len(moving_G) <= EXACT:
        signs_RG = 1 - 2 * (np.arange(2 ** len(moving_G))[:, None] >> np.arange(len(moving_G)) & 1)
        return float(np.mean(np.abs((signs_RG * moving_G).sum(axis=1)) >= seen - _SLACK))
    draw, larger = np.random.RandomState(seed), 0
    rows = max(1, 4_000_000 // len(moving_G))
    for start in range(0, replicates, rows):
        signs_RG = 1 - 2 * draw.randint(2, size=(min(rows, replicates - start), len(moving_G)))
        larger += int(np.sum(np.abs((signs_RG * moving_G).sum(axis=1)) >= seen - _SLACK))
    return (larger + 1) / (replicates + 1)


def _weighted(deltas: Sequence[float], strata: Sequence[str]) -> list[float]:
    """Return each sample's part of the mean over strata."""
    counts: dict[str, int] = {}
    for stratum in strata:
        counts[stratum] = counts.get(stratum, 0) + 1
    return [delta / (len(counts) * counts[stratum]) for delta, stratum in zip(deltas, strata, strict=True)]
