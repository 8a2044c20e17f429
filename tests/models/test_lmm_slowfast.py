"""A model that reads slow and fast frames: both of its end vectors are used, learn, and are asked for."""

from dataclasses import replace

import pytest
import torch

from models.example import Example, Turn
from video.clip import VideoSpec

SLOWFAST = VideoSpec(slow_every=2, fit="crop")


def asked(clip) -> Example:
    turns = (Turn(role="user", text="<image>\nWhat?"), Turn(role="assistant", text="A dog."))
    return Example(id="x", media=(clip,), turns=turns)


@pytest.mark.parametrize("first", [False, True], ids=["after the projector", "before"])
@pytest.mark.parametrize(
    ("mode", "pool", "slow", "fast"),
    [
        # of 3 x 3 tokens a tile: 2 rows of 2 and a row end; one token and a row end; each frame closed once more
        ("bilinear", 2, 2 * 3 + 1, 2 + 1),
        ("max", 1, 3 * 4 + 1, 2 + 1),
    ],
)
def test_both_end_vectors_learn(built, tiny_clip, mode: str, pool: int, slow: int, fast: int, first: bool) -> None:
    video = replace(SLOWFAST, pool_mode=mode, pool=pool, pool_before_projector=first)
    model, processor = built(num_ends=2, video=video)
    batch = processor.batch([asked(tiny_clip(4, 30, 40))])
    assert batch.table.num_tokens == 2 * slow + 2 * fast
    model(batch).logits.square().sum().backward()
    assert (model.ends_KD.grad.abs().sum(1) > 0).all()


def test_a_model_with_one_end_vector_cannot_read_them(built, tiny_clip) -> None:
    model, processor = built(video=SLOWFAST)
    batch = processor.batch([asked(tiny_clip(4, 30, 40))])
    with pytest.raises(ValueError, match="use 2 end vectors, 1 given"), torch.no_grad():
        model(batch)
