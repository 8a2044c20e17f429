"""Where the time of an answer goes: each part of the model is counted under its name, and hooks do not stay."""

import time

import torch
from torch import nn

from evals.stopwatch import Stopwatch


class Slow(nn.Module):
    def forward(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return inputs_embeds


class Model:
    def __init__(self) -> None:
        self.encoder, self.llm, self.device = Slow(), Slow(), torch.device("cpu")


def test_encoder_prefill_and_decode_are_told_apart() -> None:
    model = Model()
    with Stopwatch(model) as watch:
        model.encoder(torch.zeros(1, 3))
        model.llm(inputs_embeds=torch.zeros(2, 5, 3))
        for _ in range(3):
            model.llm(inputs_embeds=torch.zeros(2, 1, 3))
    assert 0.002 <= watch.encode < 0.05 and 0.002 <= watch.prefill < 0.05
    assert 0.006 <= watch.decode < 0.15
    assert watch.peak_mib is None
    model.encoder(torch.zeros(1, 3))
    assert watch.encode < 0.05 and not model.encoder._forward_hooks and not model.llm._forward_pre_hooks
