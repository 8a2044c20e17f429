"""Long clips in an evaluation: encoded piece by piece, with the answers and the record of clips that are read whole."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from evals.ablation.loaded import LoadedModels
from evals.ablation.planner import Setting
from evals.ablation.runner import SweepPoint, run_sweep
from evals.ablation.together import Together
from evals.answerer import LmmAnswerer
from evals.controls import Control
from evals.main import main
from evals.media.ahead import MediaFailed
from evals.media.decoders import Decoders
from evals.media.looking import Looking
from evals.predict import Question
from evals.sample import Media
from evals.store.feature_cache import cached
from evals.tasks.folder import Folder
from models.checkpoints.save import save
from models.feature_store import FeatureStore
from models.lmm import LMM
from models.long_video import PIECE, encode_clip
from models.processor import Processor
from video.clip import VideoClip, VideoSpec
from video.errors import MediaError
from video.unread import UnreadClip

Tiny = tuple[LMM, Processor]
FORTY = VideoSpec(num_frames=40, pool=2, pool_mode="average", end="no_token")
PROMPTS = ("what is it?", "how many shapes are red?", "what color is the shape?")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames of noise at 10 a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    random = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(60):
            picture = np.kron(random.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def answerer(tiny: Tiny, decoders: Decoders | None = None, **how: object) -> LmmAnswerer:
    model, processor = tiny
    return LmmAnswerer(model, processor, Looking(model, processor, video=FORTY, decoders=decoders, **how))


def answered(one: LmmAnswerer, media: list[Media]) -> list[tuple[object, ...]]:
    shown = tuple(one.open(medium) for medium in media)
    asked = [Question(id=text, prompt=text, media=shown, shared=True) for text in PROMPTS]
    ready = [one.prepare(question) for question in asked]
    told = [(r.visual_tokens, r.text_tokens, r.tiles, r.frames, r.grid, r.reader) for r in ready]
    return [*told, *(answer.text for answer in one.answer(ready, 8))]


@pytest.mark.parametrize("kind", ["clip", "span", "beside a picture", "pooled first"])
def test_a_streamed_clip_is_answered_as_a_whole_one(tiny: Tiny, clip: Path, kind: str, tmp_path: Path) -> None:
    media = [Media.file(clip, span=(0.5, 5.0)) if kind == "span" else Media.file(clip)]
    if kind == "beside a picture":
        from PIL import Image

        Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 70, 3), np.uint8)).save(tmp_path / "a.png")
        media = [Media.file(tmp_path / "a.png"), *media]
    model, processor = tiny
    if kind == "pooled first":
        own = replace(FORTY, pool_before_projector=True)
        whole, streamed = (
            LmmAnswerer(model, processor, Looking(model, processor, video=own, stream=stream)) for stream in (None, 10)
        )
    else:
        whole, streamed = answerer(tiny, stream=None), answerer(tiny, stream=10)
    expected = answered(whole, media)
    with Decoders(1) as decoders:
        apart = answerer(tiny, decoders, stream=10)
        assert isinstance(apart.open(media[-1]), UnreadClip)
        assert kind == "pooled first" or answered(apart, media) == expected
    assert answered(streamed, media) == expected
    assert len(set(expected[len(PROMPTS) :])) > 1
    ready = streamed.prepare(Question(id="", prompt="?", media=tuple(map(streamed.open, media))))
    assert ready.payload.known[-1] is not None and ready.nbytes < 200_000
    assert streamed.facts() == {**whole.facts(), "video.streamed": "above 10 frames"}


def test_tokens_equal_those_of_one_pass_bit_for_bit(tiny: Tiny, clip: Path) -> None:
    model, processor = tiny
    found = encode_clip(model, processor, clip, FORTY).tokens_TD
    ready = answerer(tiny, stream=None).prepare(
        Question(id="", prompt="?", media=(answerer(tiny, stream=None).open(Media.file(clip)),))
    )
    batch = processor.collate([ready.payload])
    with torch.inference_mode():
        # the encoder in calls of one piece: as many rows of a matrix product at once
        features = torch.cat([model.encode(some_NCHW) for some_NCHW in batch.pixels_NCHW.split(PIECE)])
        whole = model.tokens(features, batch)
    assert torch.equal(found, whole)


def test_frames_are_decoded_at_the_size_of_a_tile(tiny: Tiny, clip: Path) -> None:
    model, processor = tiny
    small, whole = (answerer(tiny, stream=None, whole=whole).open(Media.file(clip)) for whole in (False, True))
    assert isinstance(small, VideoClip) and isinstance(whole, VideoClip)
    assert small.frames_FHWC.shape[1:] == (56, 56, 3) and whole.frames_FHWC.shape[1:] == (96, 128, 3)
    assert small.meta == whole.meta
    tiles = [answerer(tiny).prepare(Question(id="", prompt="?", media=(one,))).payload for one in (small, whole)]
    assert torch.equal(tiles[0].pixels_NCHW, tiles[1].pixels_NCHW) and tiles[0].plans == tiles[1].plans
    # another way to resize needs the frame itself
    other = Processor(processor.spec, processor.tokenizer, pixels="fast")
    assert Looking(model, other, video=FORTY).open(Media.file(clip)).frames_FHWC.shape[1:] == (96, 128, 3)


def test_the_store_is_shared_with_other_commands_and_sweeps(tiny: Tiny, clip: Path, tmp_path: Path) -> None:
    model, processor = tiny
    encode_clip(model, processor, clip, FORTY, tmp_path)
    calls: list[int] = []
    hook = model.encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        with cached(model, folder=tmp_path):
            store = FeatureStore(tmp_path)
            one = answerer(tiny, stream=10, store=store)
            ready = [one.prepare(Question(id=p, prompt=p, media=(one.open(Media.file(clip)),))) for p in PROMPTS]
            together = Together(model, processor)
            found = {k: v.text for part in together.answers(ready, 8) for k, v in part.items()}
            expected = [answer.text for answer in one.answer(ready, 8)]
    finally:
        hook.remove()
    assert not calls and store.counts.hits == 2 * len(PROMPTS) and not store.counts.misses
    assert [found[index] for index in range(len(PROMPTS))] == expected


def test_a_clip_that_fails_while_it_is_encoded_fails_its_questions_only(
    tiny: Tiny, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = answerer(tiny, stream=10)
    media = one.open(Media.file(clip))

    def damaged(*given: object) -> None:
        raise MediaError(clip, "damaged", "a frame does not decode")

    monkeypatch.setattr("video.stream.read_at_size", damaged)
    with pytest.raises(MediaFailed, match="does not decode"):
        one.prepare(Question(id="x", prompt="?", media=(media,)))


def test_from_the_command_line(tiny: Tiny, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "model", *tiny)
    rows = [{"media": str(clip), "question": text, "answer": "cat"} for text in PROMPTS]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["task=folder", "task.file=mine.jsonl", "model=model", "device=cpu", "max_failed=0", "alarm=null"]
    words += ["video.pool_mode=average", "video.end=no_token", "video.pool=2"]

    def told(name: str, *extra: str) -> tuple[list[dict], dict]:
        assert main([*words, *extra, f"out={name}"]) == 0
        lines = Path(name, "predictions.jsonl").read_text().splitlines()[1:]
        return sorted(map(json.loads, lines), key=lambda row: row["id"]), json.loads(Path(name, "run.json").read_text())

    def answers(rows: list[dict]) -> list[object]:
        return [(row["id"], row["text"], row["frames"], row["visual_tokens"], row["tiles"]) for row in rows]

    many = ("video.num_frames=40", "rope_factor=auto")
    whole, _ = told("whole", *many)
    streamed, record = told("streamed", *many, "stream_frames=10", "cache_folder=kept")
    again, _ = told("again", *many, "stream_frames=10", "cache_folder=kept", "decoders=1")
    assert answers(whole) == answers(streamed) == answers(again)
    assert record["config"]["video.streamed"] == "above 10 frames" and len(list(Path("kept").glob("*/*.feature"))) == 2
    # 160 tokens of the clip, and the shares of question and answer: within 256
    assert (streamed[0]["visual_tokens"], record["config"]["model.rope_factor"]) == (160, 1.0)
    more, record = told("more", "video.num_frames=70", "rope_factor=auto", "stream_frames=10")
    assert (more[0]["visual_tokens"], record["config"]["model.rope_factor"]) == (280, 2.0)
    most, record = told("most", "most_frames=true", "rope_factor=2")
    text = 256 // 8 + 256 // 16
    assert most[0]["frames"] == record["config"]["model.video.num_frames"] == (512 - text) // 4


def test_a_sweep_streams_long_clips_and_reads_those_it_changes_whole(tiny: Tiny, clip: Path, tmp_path: Path) -> None:
    save(tmp_path / "model", *tiny)
    rows = [{"media": str(clip), "question": text, "answer": "cat"} for text in PROMPTS]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = Folder(file=tmp_path / "mine.jsonl")
    # a token a frame; with 300 frames of a clip that has 60
    spec = replace(tiny[1].spec, rope_factor=2.0)
    own = VideoSpec(num_frames=300, pool=4, pool_mode="average", end="no_token")
    settings = {
        name: Setting(name=name, spec=replace(spec, video=video), weights=str(tmp_path / "model"))
        for name, video in (("frames", own), ("short", replace(own, num_frames=30)))
    }
    settings["mixed up"] = replace(settings["frames"], name="mixed up", control=Control(frames="shuffled"))
    points = [
        SweepPoint(setting=setting, folder=name.replace(" ", "-"), tasks=(task,)) for name, setting in settings.items()
    ]
    models = LoadedModels(cache_folder=tmp_path / "kept")
    done = run_sweep(points, models.answerer, tmp_path / "sweep", engine_of=models.engine, progress=False)
    told = {one.setting: one.results[task.name].samples[0].prediction for one in done.points}
    assert [(told[name].frames, told[name].visual_tokens) for name in settings] == [(300, 300), (30, 30), (300, 300)]
    assert [models.answerer(setting).facts().get("video.streamed") for setting in settings.values()] == [
        "above 256 frames",
        None,
        None,
    ]
    # ten pieces of 32 frames, and tiles of the others: the frames that a clip has
    assert len(list((tmp_path / "kept").glob("*/*.feature"))) == 10 + 60
    later = LoadedModels(cache_folder=tmp_path / "kept")
    again = run_sweep(points[:1], later.answerer, tmp_path / "again", progress=False)
    texts = [[item.prediction.text for item in run.points[0].results[task.name].samples] for run in (done, again)]
    assert texts[0] == texts[1]
