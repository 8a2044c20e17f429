"""The measured rate of a device turns a price into time; a given one is taken as it is."""

import pytest
import torch

from evals.ablation.main import main
from evals.ablation.rate import measured_tflops


def test_a_rate_is_that_of_matrix_products() -> None:
    rate = measured_tflops(torch.device("cpu"), torch.float32, rounds=1)
    # from a slow core to a large machine
    assert 1e-4 < rate < 1e3


@pytest.mark.parametrize(("word", "told"), [("tflops=0.5", "time at 0.5 TFLOP/s"), ("tflops=measure", "TFLOP/s")])
def test_prices_say_how_long(word: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablation=resolution", "plan_only=true", "640x480", "device=cpu", word]) == 0
    assert told in capsys.readouterr().out


def test_without_a_rate_there_is_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablation=resolution", "plan_only=true", "640x480"]) == 0
    assert "TFLOP/s" not in capsys.readouterr().out


def test_other_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablation=resolution", "plan_only=true", "640x480", "tflops=fast"]) == 2
    assert "tflops" in capsys.readouterr().err
