"""Image files to the first token of an answer, through the same small model here and in transformers.

    python -m evals.bench.whole                      # 64 mixed images, batches of 8
    python -m evals.bench.whole --images 24 --rounds 3 --hidden 256 --layers 4

Files are decoded, cut into tiles, encoded, packed and read by the language model up to the first new token, which all
implementations agree on. transformers answers them in the order in which they come, in batches of 8; here questions of
like length share a batch. "outside" is all that is neither the vision tower nor the language model. The projector is a
part of it, and most of it in a wide model, so it has a line of its own, and so has "all else": decoding, tiles,
packing, placement and bookkeeping. --clock cpu counts the process's own seconds on all cores instead of those on the
wall, which other processes stretch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from anyres.compiled import COMPILED
from anyres.reading import read_picture
from evals.batches import Batching, cut, order
from evals.bench.figures import Figure, describe, figures
from evals.bench.pair import Pair, pair, pictures
from models.example import PLACEHOLDER, Example, Turn
from models.prepared import Prepared
from models.processor import Processor

BATCH = 8
PEER = "transformers"
QUESTION = "What is in the picture, and where?"
# what each of their processors reads soonest: the one a file's name, the other PIL's image, decoded when it is needed
OPENED: dict[str, Callable[[Path], str | Image.Image]] = {"torchvision": str, "pil": Image.open}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(slots=True, kw_only=True)
class Pass:
    """Where the seconds of one pass over all files went, by `clock`. ids: the first new token of each file."""

    clock: Callable[[], float]
    whole: float = 0.0
    encoder: float = 0.0
    llm: float = 0.0
    projector: float = 0.0
    positions: int = 0
    padding: int = 0
    tiles: int = 0
    ids: list[int] = field(default_factory=list)

    @property
    def outside(self) -> float:
        """Return the seconds outside the vision tower and the language model."""
        return self.whole - self.encoder - self.llm


SECONDS: dict[str, Callable[[Pass], float]] = {
    "whole": lambda done: done.whole,
    "encoder": lambda done: done.encoder,
    "llm": lambda done: done.llm,
    "outside": lambda done: done.outside,
    "projector": lambda done: done.projector,
    "all else": lambda done: done.outside - done.projector,
}


def implementations(both: Pair, paths: Sequence[Path]) -> dict[str, Callable[[Pass], None]]:
    """Return what passes once over all files, by name."""
    return {
        PEER: lambda done: theirs(both, "torchvision", paths, done),
        "transformers-pil": lambda done: theirs(both, "pil", paths, done),
        "anyres exact": lambda done: ours(both, "exact", paths, done),
        "anyres fast": lambda done: ours(both, "fast", paths, done),
    }


@torch.inference_mode()
def theirs(both: Pair, kind: str, paths: Sequence[Path], done: Pass) -> None:
    """Pass over all files with transformers' processor and model."""
    model, processor = both.their_model, both.their_processors[kind]
    prompt = both.processors["exact"].template.render(_turns(), add_generation_prompt=True).text
    handles = [
        *_timed(model.model.vision_tower, done, "encoder"),
        *_timed(model.model.language_model, done, "llm"),
        *_timed(model.lm_head, done, "llm"),
        *_timed(model.model.multi_modal_projector, done, "projector"),
    ]
    start = done.clock()
    for first in range(0, len(paths), BATCH):
        images = [OPENED[kind](path) for path in paths[first : first + BATCH]]
        inputs = processor(images=images, text=[prompt] * len(images), padding=True, return_tensors="pt")
        # padded on the left: the last position is each row's last
        done.ids += model(**inputs, logits_to_keep=1).logits[:, -1].argmax(-1).tolist()
        mask_BL = inputs["attention_mask"]
        done.positions += mask_BL.numel()
        done.padding += int((mask_BL == 0).sum())
    done.whole = done.clock() - start
    for handle in handles:
        handle.remove()


def ours(both: Pair, kind: str, paths: Sequence[Path], done: Pass) -> None:
    """Pass over all files with this project's processor and model."""
    processor = both.processors[kind]
    start = done.clock()
    with ExitStack() as stack:
        parts = {"encoder": both.model.encoder, "llm": both.model.llm, "projector": both.model.projector}
        for handle in [handle for what, module in parts.items() for handle in _timed(module, done, what)]:
            stack.callback(handle.remove)
        prepared = [_prepared(processor, path) for path in paths]
        lengths = [len(one.prompt) for one in prepared]
        rows = order(lengths, range(len(lengths)))
        first_ids: dict[int, int] = {}
        for run in cut([lengths[row] for row in rows], Batching(samples=BATCH)):
            batch = processor.collate([prepared[row] for row in rows[run.start : run.stop]])
            ids_B1 = both.model.generate(batch, 1)
            first_ids.update(zip(rows[run.start : run.stop], ids_B1[:, 0].tolist(), strict=True))
            done.positions += batch.attention_BL.numel()
            done.padding += int((batch.attention_BL == 0).sum())
            done.tiles += len(batch.pixels_NCHW)
    done.whole = done.clock() - start
    done.ids = [first_ids[row] for row in range(len(paths))]


def measure(images: int, rounds: int, hidden: int, layers: int, clock: str) -> Iterator[Figure]:
    """Give the figures: implementations take turns, one pass each a round; a short pass of each warms up."""
    # as after the first pictures of a long run
    COMPILED.load()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        both, paths = pair(folder / "model", hidden, layers), pictures(folder, images)
        for warm_up in implementations(both, paths[:2]).values():
            warm_up(Pass(clock=CLOCKS[clock]))
        calls = implementations(both, paths)
        passes: dict[str, list[Pass]] = {name: [] for name in calls}
        names = list(calls)
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                done = Pass(clock=CLOCKS[clock])
                calls[name](done)
                passes[name].append(done)
    notes = {name: _note(done[0], passes["transformers-pil"][0]) for name, done in passes.items()}
    for what in SECONDS:
        seconds = {name: [SECONDS[what](one) for one in done] for name, done in passes.items()}
        work = f"{images} images, {what}, {clock} seconds"
        yield from figures("whole", work, seconds, PEER, notes=notes if what == "whole" else None)


def _note(done: Pass, reference: Pass) -> str:
    same = sum(a == b for a, b in zip(done.ids, reference.ids, strict=True))
    share = 100 * done.padding / done.positions
    return f"padding {share:.1f} % of {done.positions} positions, {same} of {len(done.ids)} tokens as transformers-pil"


def _turns() -> tuple[Turn, ...]:
    return (Turn(role="user", text=f"{PLACEHOLDER}\n{QUESTION}"),)


def _prepared(processor: Processor, path: Path) -> Prepared:
    return processor.prepare(Example(id=path.name, media=(read_picture(path, processor.pixels),), turns=_turns()))


def _timed(module: nn.Module, done: Pass, what: str) -> list[torch.utils.hooks.RemovableHandle]:
    started: list[float] = []

    def begin(*_: object) -> None:
        started.append(done.clock())

    def end(*_: object) -> None:
        spent = done.clock() - started.pop()
        if what == "encoder":
            done.encoder += spent
        elif what == "llm":
            done.llm += spent
        else:
            done.projector += spent

    return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]


def main(argv: Sequence[str] | None = None) -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    for row in measure(arguments.images, arguments.rounds, arguments.hidden, arguments.layers, arguments.clock):
        print(describe(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
