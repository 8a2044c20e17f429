"""R8: in half precision an exact answer is bit for bit that of its question alone; fast ones tell their flip rate."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from anyres.geometry import HW
from anyres.grid import GridSpec
from evals.ablation.loaded import LoadedModels
from evals.ablation.planner import Setting
from evals.ablation.runner import SweepPoint, run_sweep
from evals.answerer import LmmAnswerer
from evals.engine import alone
from evals.finish import finish
from evals.media.looking import Looking
from evals.probe import Flips, flips, probe
from evals.protocol import Question
from evals.result import Prediction
from evals.run import predict_run
from evals.store.feature_cache import CachedEncoder, cached
from evals.tasks.pocket import PocketImage
from models.build import load
from models.checkpoints.save import save
from models.lmm import LMM
from models.processor import Processor

Tiny = tuple[LMM, Processor]
PAGES = PocketImage(kinds=("read", "count"), count=6)
GRID = GridSpec(layouts=(HW(1, 1), HW(2, 2)))
MOST = 6


@pytest.fixture(scope="module")
def folder(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(path, *tiny)
    return path


@pytest.fixture(scope="module")
def half(folder: Path) -> Tiny:
    return load(folder, dtype=torch.bfloat16)


def questions() -> list[Question]:
    return [
        Question(id=one.id, prompt=PAGES.prompt(one) + " " * (index % 3), media=(one.media[0].draw(),))
        for index, one in enumerate(PAGES.samples())
    ]


def logits(answerer: LmmAnswerer, asked: Sequence[Question]) -> dict[str, list[torch.Tensor]]:
    """Return every row of logits that the model gave, by question; asked in one call of the answerer."""
    seen: list[torch.Tensor] = []
    hook = answerer.model.llm.register_forward_hook(lambda _, __, out: seen.append(out.logits[:, -1].clone()))
    try:
        ready = [answerer.prepare(question) for question in asked]
        counts = []
        if answerer.exact:
            for item in ready:
                before = len(seen)
                answerer.answer([item], MOST)
                counts.append(range(before, len(seen)))
            return {question.id: [seen[i][0] for i in rows] for question, rows in zip(asked, counts, strict=True)}
        answerer.answer(ready, MOST)
        # the first row of logits: later ones depend on what was chosen
        return {question.id: [seen[0][row]] for row, question in enumerate(asked)}
    finally:
        hook.remove()


def texts(answerer: LmmAnswerer, batches: Sequence[Sequence[Question]]) -> dict[str, str]:
    found = {}
    for batch in batches:
        ready = [answerer.prepare(question) for question in batch]
        found.update({q.id: a.text for q, a in zip(batch, answerer.answer(ready, MOST), strict=True)})
    return found


@pytest.fixture(params=["bfloat16", "float32", "a device that rounds by batch"])
def model(request: pytest.FixtureRequest, tiny: Tiny, half: Tiny) -> Iterator[Tiny]:
    """Give a model in half precision, one whose float32 sums differ in the last bits by the rows of a batch, and one
    whose language model and encoder round by their batch as GPU kernels may.
    """
    chosen = tiny if request.param == "float32" else half
    hooks = []
    if request.param.startswith("a device"):
        blocks = (chosen[0].encoder, chosen[0].llm.model.layers[0].mlp)
        hooks = [one.register_forward_hook(lambda _, __, out: out * (1 + 2.0**-6 * (len(out) > 1))) for one in blocks]
    yield chosen
    for hook in hooks:
        hook.remove()


def exact(model: Tiny) -> LmmAnswerer:
    answerer = LmmAnswerer(*model, Looking(*model, grid=GRID), exact=True)
    assert answerer.facts()["batches"] == "alone"
    return answerer


def test_half_precision_is_exact_unless_told_otherwise(tiny: Tiny, half: Tiny) -> None:
    assert not LmmAnswerer(*tiny).exact and "batches" not in LmmAnswerer(*tiny).facts()
    assert LmmAnswerer(*half).exact
    fast = LmmAnswerer(*half, exact=False)
    assert fast.facts()["batches"] == "together"
    other = fast.alone()
    assert other is not None and other.exact and other.alone() is None
    assert alone(fast) is not None and alone(LmmAnswerer(*half)) is None
    assert LmmAnswerer(*tiny, exact=False).alone() is None


def test_exact_logits_are_those_of_a_question_alone(model: Tiny) -> None:
    asked = questions()
    own = {q.id: logits(exact(model), [q])[q.id] for q in asked}
    with cached(model[0]):
        again = exact(model)
        for seed in range(2):
            mixed = random.Random(seed).sample(asked, len(asked))
            found = logits(again, mixed)
            assert all(torch.equal(a, b) for q in asked for a, b in zip(own[q.id], found[q.id], strict=True))


def test_exact_answers_are_those_of_any_batch(model: Tiny) -> None:
    asked = questions()
    answerer = exact(model)
    single = texts(answerer, [[q] for q in asked])
    for size in (2, 3, 8):
        mixed = random.Random(size).sample(asked, len(asked))
        assert texts(answerer, [mixed[i : i + size] for i in range(0, len(mixed), size)]) == single


@pytest.mark.parametrize("model", ["float32", "a device that rounds by batch"], indirect=True)
def test_fast_logits_are_not(model: Tiny) -> None:
    # what keeps the tests above honest; a CPU's sums in bfloat16 need not depend on their batch
    fast = LmmAnswerer(*model, Looking(*model, grid=GRID), exact=False)
    asked = questions()
    own = {q.id: logits(fast, [q])[q.id][0] for q in asked}
    found = logits(fast, asked)
    assert any(not torch.equal(own[q.id], found[q.id][0]) for q in asked)


def test_a_question_is_read_alike_whoever_else_asks_about_its_media(half: Tiny) -> None:
    (one, *_) = questions()
    first, second = (logits(exact(half), [replace(one, shared=shared)])[one.id] for shared in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_memory_of_tiles_alone_has_keys_of_its_own(half: Tiny, tmp_path: Path) -> None:
    encoder, spec = half[0].encoder, half[1].spec.encoder
    together, apart = (CachedEncoder(encoder, spec, folder=tmp_path, alone=alone) for alone in (False, True))
    assert together.identity != apart.identity
    pixels_NCHW = torch.randn(3, 3, spec.tile_px, spec.tile_px).bfloat16()
    together(pixels_NCHW)
    apart(pixels_NCHW)
    assert (together.counts.encoder_calls, apart.counts.encoder_calls, apart.counts.store.hits) == (1, 3, 0)
    one_by_one = torch.cat([encoder(tile[None]) for tile in pixels_NCHW])
    assert torch.equal(apart(pixels_NCHW), one_by_one)


def test_fast_runs_tell_their_flip_rate(half: Tiny, tmp_path: Path) -> None:
    fast = LmmAnswerer(*half, Looking(*half, grid=GRID), exact=False)
    predict_run(PAGES, fast, tmp_path, progress=False)
    blind = finish(PAGES, tmp_path)
    assert "without a probe" in blind.invalid
    other = fast.alone()
    assert other is not None
    probe(PAGES, other, PAGES.samples(), tmp_path, most=5, progress=False)
    told = finish(PAGES, tmp_path)
    assert told.invalid == ""
    (note,) = [note for note in told.notes if "half precision" in note]
    assert note.startswith("computed together in half precision: of 5 samples answered alone as well, ")
    assert note in (tmp_path / "result.md").read_text()


def test_flips_are_counted_over_what_both_answered() -> None:
    def one(key: str, text: str, answer: str | None, status: str = "ok") -> Prediction:
        return Prediction(id=key, text=text, status=status, answer=answer)

    fast = {p.id: p for p in (one("a", "A", "A"), one("b", "B.", "B"), one("c", "C", "C"), one("d", "", None, "oom"))}
    exact = {p.id: p for p in (one("a", "A", "A"), one("b", "B", "B"), one("c", "D", "D"), one("d", "D", "D"))}
    found = flips(fast, exact)
    assert found == Flips(samples=3, texts=2, answers=1)
    assert "1 (33.3 % [6.1, 79.2]) have another answer, 2 another text" in found.note


def test_sweeps_are_exact_or_tell_it_too(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    points = [
        SweepPoint(
            setting=Setting(name=name, spec=replace(tiny[1].spec, grid=grid), weights=str(folder), dtype="bfloat16"),
            folder=name,
            tasks=(PAGES,),
        )
        for name, grid in (("2x2", GRID), ("few", replace(GRID, target_tok=9, slack=1.0)))
    ]
    notes = {}
    for how in (None, False):
        models = LoadedModels(exact=how)
        engine, single = models.engine, models.alone
        done = run_sweep(
            points, models.answerer, tmp_path / str(how), engine_of=engine, alone_of=single, progress=False
        )
        results = [result for point in done.points for result in point.results.values()]
        assert not any(result.invalid for result in results)
        notes[how] = [any("half precision" in note for note in result.notes) for result in results]
    assert notes == {None: [False, False], False: [True, True]}
