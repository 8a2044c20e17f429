"""The weights that ship: their size, their words, and that they see what docs/pocket.md says, on fewer samples.

Bounds lie well below the documented accuracy (reading 0.96, 0.10 in one tile; position 0.91; first frame 0.98), so that
40 samples decide safely.
"""

from pathlib import Path

import pytest

from anyres.geometry import HW
from anyres.grid import GridSpec
from models.build import POCKET, load
from models.example import Example, Turn
from models.lmm import LMM
from models.pocket.clips import write_clips
from models.pocket.tasks import image_samples
from models.pocket.tokenizer import build_tokenizer
from models.processor import Processor
from video.clip import VideoSpec
from video.reader import open_clip_reader
from video.sampling import sample

COUNT = 40


@pytest.fixture(scope="module")
def pocket() -> tuple[LMM, Processor]:
    return load("pocket")


def right(pocket: tuple[LMM, Processor], asked: list[tuple[object, str, str]], grid: GridSpec | None = None) -> float:
    model, processor = pocket
    examples = [
        Example(id=str(index), media=(medium,), turns=(Turn(role="user", text=f"<image>\n{question}"),))
        for index, (medium, question, _) in enumerate(asked)
    ]
    ids_BL = model.generate(processor.batch(examples, grid=grid), max_new_tokens=3, stop_ids=processor.stop_ids)
    answers = [processor.decode(ids_L) for ids_L in ids_BL]
    return sum(answer == wanted for answer, (_, _, wanted) in zip(answers, asked, strict=True)) / len(asked)


def pages(task: str) -> list[tuple[object, str, str]]:
    return [(one.image, one.question, one.answer) for one in image_samples(task, seed=77, count=COUNT)]


def test_weights_are_small_and_speak_the_vocabulary(pocket: tuple[LMM, Processor]) -> None:
    assert sum(path.stat().st_size for path in POCKET.iterdir()) < 20e6
    assert pocket[1].tokenizer.get_vocab() == build_tokenizer().get_vocab()


def test_reading_needs_resolution(pocket: tuple[LMM, Processor]) -> None:
    asked = pages("read")
    assert right(pocket, asked) >= 0.8
    assert right(pocket, asked, GridSpec(layouts=())) <= 0.3


def test_position_needs_tiles_in_order(pocket: tuple[LMM, Processor]) -> None:
    asked = pages("position")
    assert right(pocket, asked, GridSpec(layouts=(HW(3, 3),))) >= 0.7
    # without row ends nothing tells the rows apart
    assert right(pocket, asked, GridSpec(layouts=(HW(3, 3),), merge="spatial")) <= 0.3


def test_the_first_frame_of_a_clip(pocket: tuple[LMM, Processor], tmp_path: Path) -> None:
    asked = []
    for one in write_clips(tmp_path, "first", seed=77, count=COUNT // 2, frames=4):
        reader = open_clip_reader(one.path)
        indices = sample(reader.meta, VideoSpec(num_frames=4, pool=1, pool_mode="none"))
        asked.append((reader.read(indices), one.question, one.answer))
    assert right(pocket, asked) >= 0.75
