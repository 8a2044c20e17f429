"""95 % intervals hold the truth about 95 times in 100 on simulated clustered data; the full figures: evals/bench."""

import pytest

from evals.bench.coverage import DESIGNS, covered


@pytest.mark.parametrize("design", [DESIGNS[2], DESIGNS[3]], ids=lambda design: design.name)
def test_intervals_cover_the_truth(design) -> None:
    found = covered(design, trials=200, seed=3, replicates=400, method="bca")
    # the standard error of a coverage of 0.95 in 200 trials is 0.015
    for name in ("accuracy", "difference", "accuracy+ (bootstrap)", "F1 (bootstrap)"):
        assert found[name] == pytest.approx(0.95, abs=0.055), name
    # what takes questions of one clip for independent does not cover: the simulation can tell
    assert found["plain Wilson"] < 0.93
