"""Files to tiles by worker processes against one process, on the clock of the wall and on the processor's."""

import tempfile
import time
from pathlib import Path

import torch

from anyres.bench.preprocess import Case, picture
from anyres.compiled import COMPILED
from anyres.pixels import normalise
from anyres.workers import Normalised, TileWorkers
from kernels.bench.clock import measure


def turns(case: Case, mode: str, workers: int, files: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of some files in this process ("one process") and by `workers` of them ("workers")."""
    torch.set_num_threads(1)
    COMPILED.load()
    preset, maker = case.preset, case.preset.maker(mode)
    with tempfile.TemporaryDirectory() as folder, TileWorkers(maker, workers, _output(case)) as pool:
        paths = [picture(case, Path(folder))] * files

        def here() -> None:
            for path in paths:
                normalise(maker.make(path)[1], preset.mean, preset.std)

        def there() -> None:
            for one in pool.make(paths):
                if one.tiles_NCHW is None:
                    raise ValueError(f"{one.path}: {one.error}")

        return measure({"one process": here, "workers": there}, "cpu", rounds)


def _output(case: Case) -> Normalised:
    return Normalised(mean=case.preset.mean, std=case.preset.std)


def rate(case: Case, mode: str, workers: int, files: int, rounds: int) -> list[float]:
    """Return, for each round, files a second by `workers` processes over files a second in this one."""
    seconds = turns(case, mode, workers, files, rounds)
    return [alone / together for alone, together in zip(seconds["one process"], seconds["workers"], strict=True)]


def most(case: Case, mode: str, workers: int, files: int, rounds: int) -> list[float]:
    """Return, for each round, how many times one process's rate as many cores can give, by processor seconds.

    That is `workers` times the processor seconds of one process over those of all processes together.
    """
    torch.set_num_threads(1)
    COMPILED.load()
    preset, maker, found = case.preset, case.preset.maker(mode), []
    with tempfile.TemporaryDirectory() as folder, TileWorkers(maker, workers, _output(case)) as pool:
        paths = [picture(case, Path(folder))] * files
        for turn in range(rounds + 1):
            start = time.process_time()
            for path in paths:
                normalise(maker.make(path)[1], preset.mean, preset.std)
            alone, start, before = time.process_time() - start, time.process_time(), pool.processor_s
            for one in pool.make(paths):
                if one.tiles_NCHW is None:
                    raise ValueError(f"{one.path}: {one.error}")
            together = time.process_time() - start + pool.processor_s - before
            # the first round starts the workers
            found += [workers * alone / together] if turn else []
    return found
