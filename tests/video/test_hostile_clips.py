"""Every backend over files that are odd or damaged: the right frames, a typed refusal, or a result that says so."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from video import MediaError, open_clip_reader
from video.bench.hostile import BAD, class_of, clips_of, read_one
from video.bench.judge import judge
from video.reader import BACKENDS

ONLY = (
    "^v_(plain|ts|elst_skip|bpyramid_opengop|hevc|start_neg|start_10s|vfr_mkv|cover_first|audio_cover|two_video|"
    "hls_file_m3u8|concat_file|sdp|mdat_cut_50|mkv_cut|mkv_live|gif|webp_anim|rot90|sar|starts_nonkey|avi_count_big|"
    "dur_x100|dup_pts|res_change|corrupt_mid|10bit_h264|raw_h264|zero_frames|random)$|^p_.*_mp4$|^p_dangling$"
)


@pytest.fixture(scope="module")
def corpus(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the corpus that is shared with the project."""
    script = shared / "hostile" / "make_corpus.py"
    if not script.is_file():
        pytest.skip(f"{script.name} is not there")
    spec = importlib.util.spec_from_file_location("make_corpus", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_corpus"] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("hostile")
    made = module.Corpus(folder, 7, ONLY)
    module.make_videos(made)
    module.make_special(made)
    (folder / "manifest.json").write_text(json.dumps({"items": made.items}))
    return folder


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_no_file_of_the_corpus_is_read_wrong(corpus: Path, backend: str) -> None:
    if backend != "auto":
        pytest.importorskip("av" if backend == "pyav" else backend)
    items = clips_of(corpus)
    assert len(items) > 30
    rows = {item["id"]: (item, read_one(item, str(corpus / item["file"]), backend)) for item in items}
    # a torchcodec without FFmpeg refuses all, in words
    missing = "torchcodec cannot be loaded"
    classes = {name: class_of(item, row) for name, (item, row) in rows.items() if missing not in row.get("words", "")}
    bad = {name: rows[name][1]["verdict"] for name, word in classes.items() if word in (*BAD, "refused")}
    assert bad == {}
    if backend == "auto":
        assert set(classes.values()) == {"ok", "clean"}
        # what is odd about a file is told with its frames
        flags = {name: row["flags"] for name, (_, row) in rows.items() if row.get("flags")}
        assert flags["v_avi_count_big"] == ["count", "time"]
        assert flags["v_raw_h264"] == ["time"]
        assert "corrupt" in flags["v_starts_nonkey"]
        assert "v_plain" not in flags


def test_what_was_cut_off_is_read_where_that_is_asked_for(corpus: Path) -> None:
    for name in ("mdat_cut_50.mp4", "cut.mkv"):
        path = corpus / "videos" / name
        with pytest.raises(MediaError) as refused:
            open_clip_reader(path)
        assert refused.value.kind == "truncated"
        reader = open_clip_reader(path, partial=True)
        every = range(reader.meta.num_frames)
        assert 5 <= len(every) < 30
        clip = reader.read(every)
        assert "count" in clip.flags
        item = {"id": "m", "expect": {"outcome": "either"}}
        assert judge(item, clip, every, len(every)) == "ok"


def test_the_judge_notices_what_is_wrong(corpus: Path) -> None:
    """A judge that finds nothing proves nothing: another frame, a repeated one, a turned one."""
    from dataclasses import replace

    item = next(item for item in clips_of(corpus) if item["id"] == "v_plain")
    clip = open_clip_reader(corpus / item["file"]).read([0, 1, 2])
    assert judge(item, clip, (0, 1, 2), 30) == "ok"
    assert judge(item, clip, (0, 1, 3), 30).startswith("wrong: [0, 1, 2]")
    assert judge(item, replace(clip, frames_FHWC=clip.frames_FHWC[:, ::-1, ::-1]), (0, 1, 2), 30) == "wrong: turned"
    assert judge(item, replace(clip, times_F=clip.times_F + 0.01), (0, 1, 2), 30).startswith("wrong: times off")
    assert judge(item, clip, (0, 1, 2), 29).startswith("wrong: counts 29")
    damaged = {"id": "m", "expect": {"outcome": "either"}}
    repeated = replace(clip, frames_FHWC=clip.frames_FHWC[[0, 0, 2]])
    assert judge(damaged, repeated, (0, 1, 2), 3).startswith("wrong: repeated")
    assert judge(damaged, replace(repeated, flags=("corrupt",)), (0, 1, 2), 3) == "flagged"
