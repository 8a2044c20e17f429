"""Decoder processes: the same frames as here, and what dies, hangs, grows or lies costs one medium."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anyres.limits import LIMITS
from video import MediaError, VideoSpec, load_clip
from video.wire import MOST_WORDS, receive, send
from video.worker import Workers

FOUR = VideoSpec(num_frames=4)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(1, replace(LIMITS, seconds=None)) as pool:
        yield pool


def test_a_process_gives_the_same_frames_and_words(clips: dict[str, Path], workers: Workers) -> None:
    for name, span in (("variable", None), ("transport", (0.5, 1.5)), ("turned_1", None)):
        here, there = load_clip(clips[name], FOUR, span=span), workers.load_clip(clips[name], FOUR, span=span)
        assert np.array_equal(here.frames_FHWC, there.frames_FHWC)
        assert np.array_equal(here.times_F, there.times_F)
        told = (here.indices, here.reader, here.meta, here.flags)
        assert told == (there.indices, there.reader, there.meta, there.flags)
    with pytest.raises(MediaError) as missing:
        workers.load_clip("gone.mp4", FOUR)
    assert (missing.value.kind, missing.value.path) == ("missing", "gone.mp4")
    with pytest.raises(ValueError, match="expected a span"):
        workers.load_clip(clips["variable"], FOUR, span=(2.0, 1.0))
    assert workers.replaced == 0


def freeze(workers: Workers) -> int:
    """Stop the only process; return its id."""
    process = workers._free.get()
    assert process is not None
    os.kill(process._process.pid, signal.SIGSTOP)
    workers._free.put(process)
    return process._process.pid


def test_who_dies_is_replaced_by_another_backend_and_recorded(
    clips: dict[str, Path], workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("decord")
    monkeypatch.setattr("video.worker.STAND_INS", ("decord",))
    workers.load_clip(clips["constant"], FOUR)
    threading.Timer(0.3, os.kill, (freeze(workers), signal.SIGKILL)).start()
    clip = workers.load_clip(clips["constant"], FOUR)
    assert clip.reader == "decord (auto: its decoder died (signal 9))"
    assert clip.indices == (0, 6, 12, 19)
    threading.Timer(0.3, os.kill, (freeze(workers), signal.SIGKILL)).start()
    with pytest.raises(MediaError, match=r"pyav: its decoder died \(signal 9\)") as died:
        workers.load_clip(clips["constant"], FOUR, "pyav")
    assert died.value.kind == "crashed"
    assert workers.replaced == 2


def test_who_hangs_is_ended_in_time(clips: dict[str, Path], workers: Workers) -> None:
    unlimited = workers.limits
    workers.load_clip(clips["constant"], FOUR)
    freeze(workers)
    workers.limits = replace(LIMITS, seconds=1.0)
    with pytest.raises(MediaError, match="no answer in 1 s") as late:
        workers.load_clip(clips["constant"], FOUR)
    assert late.value.kind == "stalled"
    workers.limits = unlimited
    # the one in its place decodes
    assert workers.load_clip(clips["constant"], FOUR).reader == "pyav"


def test_memory_has_a_limit() -> None:
    code = (
        "import numpy as np\nfrom video import worker_process\n"
        "def clip(words): np.ones(1 << 30, np.uint8)\n"
        "worker_process._clip = clip\nworker_process.limit_memory(512 << 20)\n"
        "print(worker_process.answer({'do': 'clip', 'path': 'a.mp4'})[0]['media_error'][:2])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "['a.mp4', 'limit']\n"


def test_processes_are_recycled(clips: dict[str, Path]) -> None:
    with Workers(1, recycle=2) as workers:
        used = []
        for _ in range(3):
            workers.load_clip(clips["one_frame"], FOUR)
            process = workers._free.get()
            used.append(process)
            workers._free.put(process)
        # the second medium ends the first process
        assert used[0] is not None
        assert used[1] is None
        assert used[2] is not used[0]
        assert workers.replaced == 0


def test_a_library_that_fails_oddly_costs_one_medium(monkeypatch: pytest.MonkeyPatch) -> None:
    from video import worker_process

    def fail(*_: object, **__: object) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(worker_process, "load_clip", fail)
    words = {"do": "clip", "path": "a.mp4", "video": {}, "span": None, "fps": None, "partial": False, "limits": {}}
    words["backend"] = "auto"
    assert worker_process.answer(words)[0] == {"failed": "AttributeError: no such thing"}


def test_pixels_without_measure_are_not_taken(clips: dict[str, Path]) -> None:
    with Workers(1, replace(LIMITS, frame_bytes=1000)) as workers, pytest.raises(MediaError) as refused:
        workers.load_clip(clips["constant"], FOUR)
    assert refused.value.kind == "limit"


def test_messages_have_ends() -> None:
    pipe = io.BytesIO()
    send(pipe, {"a": 1}, memoryview(b"xyz"))
    pipe.seek(0)
    assert receive(pipe) == {"a": 1}
    assert pipe.read() == b"xyz"
    with pytest.raises(EOFError):
        receive(io.BytesIO(b"\0\0"))
    with pytest.raises(EOFError):
        receive(io.BytesIO((MOST_WORDS + 1).to_bytes(8, "little")))


def test_processes_start_without_torch() -> None:
    code = "import video.worker_process, sys; print(sorted({'torch', 'transformers', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
