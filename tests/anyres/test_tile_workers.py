"""Tiles made in worker processes are those made here; a file that ends its worker costs that file and nothing else."""

import os
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anyres.errors import MediaError
from anyres.geometry import HW
from anyres.grid import GridSpec, TileSpec
from anyres.limits import MediaLimits
from anyres.picture import Picture
from anyres.pixels import normalise
from anyres.tiles import TileMaker
from anyres.workers import FileTiles, Normalised, TileWorkers

GRID = GridSpec(layouts=(HW(1, 2), HW(2, 1), HW(2, 2)))
TILE = TileSpec.of(56, 14)
GREY = (127, 127, 127)


class Trapped(TileMaker):
    """A maker to whom some file names do what broken decoders do."""

    def read(self, source: Path) -> Picture:
        if "crash" in source.name:
            os._exit(11)
        if "hang" in source.name:
            time.sleep(60)
        if "bug" in source.name:
            raise KeyError("a mistake of ours")
        return super().read(source)


def folder_of_pictures(folder: Path, count: int) -> list[Path]:
    draw, paths = np.random.default_rng(0), []
    for index in range(count):
        height, width = draw.integers(30, 150, 2)
        path = folder / f"{index}.png"
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


def test_tiles_are_drawn_into_memory_that_is_given(tmp_path: Path) -> None:
    maker = TileMaker(grid=GRID, tile=TILE, fill=GREY)
    for path in folder_of_pictures(tmp_path, 4):
        picture, memory = maker.read(path), bytearray(b"\xff" * maker.most_bytes)
        tiles_NCHW = maker.tiles(picture, memoryview(memory))
        # black round the content too, whatever was there before
        assert torch.equal(tiles_NCHW, maker.tiles(picture))
        assert bytes(memory[: tiles_NCHW.numel()]) == tiles_NCHW.numpy().tobytes()
        assert set(memory[tiles_NCHW.numel() :]) <= {255}


def shared_blocks() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


def test_tiles_errors_and_order_are_those_of_one_process(tmp_path: Path) -> None:
    paths = folder_of_pictures(tmp_path, 12)
    (tmp_path / "cut.png").write_bytes(paths[0].read_bytes()[:200])
    paths = [*paths[:5], tmp_path / "absent.png", *paths[5:], tmp_path / "cut.png"]
    maker, before = TileMaker(grid=GRID, tile=TILE, fill=GREY), shared_blocks()
    with TileWorkers(maker, 2) as workers:
        found = []
        for one, path in zip(workers.make(paths), paths, strict=True):
            assert one.path == path
            found.append(one.error.kind if one.error else "tiles")
            if one.error is None:
                plan, tiles_NCHW = maker.make(path)
                assert one.plan == plan
                assert torch.equal(one.tiles_NCHW, tiles_NCHW)
            else:
                with pytest.raises(MediaError) as caught:
                    maker.make(path)
                assert str(one.error) == str(caught.value)
        assert found == ["tiles"] * 5 + ["missing"] + ["tiles"] * 7 + ["truncated"]
        # left early, and asked again: no answer of the first call reaches the second
        asked = workers.make(paths)
        next(asked)
        asked.close()
        assert [one.path for one in workers.make(paths[:3])] == paths[:3]
        assert workers.replaced == 0
        assert workers.processor_s > 0
    assert not active_children()
    # nothing is left in shared memory
    assert shared_blocks() <= before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_workers_write_what_the_encoder_reads(tmp_path: Path, dtype: torch.dtype) -> None:
    paths = folder_of_pictures(tmp_path, 9)
    (tmp_path / "cut.png").write_bytes(paths[0].read_bytes()[:200])
    maker, mean, std = TileMaker(grid=GRID, tile=TILE, fill=GREY), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    output = Normalised(mean=mean, std=std, dtype=dtype)
    with TileWorkers(maker, 2, output) as workers:
        found = list(map(written, workers.make([*paths, tmp_path / "cut.png"])))
    assert found[-1] is None
    for tiles_NCHW, path in zip(found[:-1], paths, strict=True):
        # to the bit, and in the memory of files before it
        assert tiles_NCHW.dtype == dtype
        assert torch.equal(tiles_NCHW, normalise(maker.make(path)[1], mean, std, dtype))


def written(one: FileTiles) -> torch.Tensor | None:
    return None if one.tiles_NCHW is None else one.tiles_NCHW.clone()


def test_a_crash_and_a_hang_cost_their_files_only(tmp_path: Path) -> None:
    good = folder_of_pictures(tmp_path, 4)
    paths = [good[0], tmp_path / "crash.png", good[1], tmp_path / "hang.png", *good[2:]]
    maker = Trapped(grid=GRID, tile=TILE, fill=GREY, limits=MediaLimits(seconds=1.0))
    with TileWorkers(maker, 1) as workers:
        kinds = [one.error.kind if one.error else "tiles" for one in workers.make(paths)]
        assert kinds == ["tiles", "crashed", "tiles", "stalled", "tiles", "tiles"]
        assert workers.replaced == 2
        with pytest.raises(RuntimeError, match=r"bug\.png: KeyError: 'a mistake of ours'"):
            list(workers.make([tmp_path / "bug.png"]))
    assert not active_children()


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 process, got 0"):
        TileWorkers(TileMaker(grid=GRID, tile=TILE, fill=GREY), 0)


def test_normalised_tiles_are_no_integers() -> None:
    output = Normalised(mean=(0.5,) * 3, std=(0.5,) * 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"expected a floating dtype, got torch\.uint8"):
        TileWorkers(TileMaker(grid=GRID, tile=TILE, fill=GREY), 1, output)
