"""The count of mutants that show other contents: by format, with and without checksums of the originals."""

import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from anyres.bench.mutants import OUTCOMES, tabled
from anyres.bench.mutants import run as run_images
from video.bench.mutants import run as run_clips


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BMP and a WebM, each with a mutant that shows something else, one that shows the same, and one that is cut."""
    folder = tmp_path_factory.mktemp("corpus")
    Image.new("RGB", (8, 6), "red").save(folder / "a.bmp")
    with av.open(str(folder / "v.webm"), "w") as container:
        stream = container.add_stream("libvpx", rate=10, options={"g": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            noise_HWC = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise_HWC, format="rgb24")))
        container.mux(stream.encode(None))
    items = []
    for name, kind in (("a.bmp", "image"), ("v.webm", "video")):
        data = (folder / name).read_bytes()
        items.append({"id": name, "kind": kind, "file": name, "tags": [], "sha256": hashlib.sha256(data).hexdigest()})
        changed = bytearray(data)
        # noise is nothing but coefficients
        changed[len(data) - 40 if kind == "image" else len(data) // 2] ^= 1
        for which, content in (("changed", bytes(changed)), ("same", data), ("cut", data[: len(data) // 2])):
            (folder / f"{which}_{name}").write_bytes(content)
            item = {"id": f"{which}_{name}", "kind": kind, "file": f"{which}_{name}", "tags": ["mutant"]}
            items.append(item | {"expect": {"mutant_of": name}})
    (folder / "manifest.json").write_text(json.dumps({"items": items}))
    return folder


def outcomes(rows: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name.split("_")[0]: row["outcome"] for name, row in rows.items()}


def test_pictures(corpus: Path, tmp_path: Path) -> None:
    rows = run_images(corpus, "exact", None)
    assert outcomes(rows) == {"changed": "other", "same": "right", "cut": "refused"}
    assert {row["group"] for row in rows.values()} == {"BMP"}
    assert outcomes(run_images(corpus, "open", tmp_path / "sums")) == {
        "changed": "refused",
        "same": "right",
        "cut": "refused",
    }
    lines = tabled(rows, OUTCOMES).splitlines()
    assert lines[2] == "| BMP | 3 | 1 | 1 | 1 | 0 |"
    assert lines[3] == "| all | 3 | 1 | 1 | 1 | 0 |"


def test_clips(corpus: Path, tmp_path: Path) -> None:
    found = outcomes(run_clips(corpus, "auto", None))
    assert found["same"] == "right"
    assert found["cut"] == "refused"
    assert found["changed"] in ("other", "flagged", "refused")
    known = outcomes(run_clips(corpus, "worker", tmp_path / "sums"))
    assert known == {"changed": "refused", "same": "right", "cut": "refused"}
