"""Open every image, array and odd path of a hostile corpus in a child process, and count what comes back.

    python -m anyres.bench.hostile --corpus DIR [--mode open|exact|fast|draft] [--only TEXT] [--out FILE.json]

DIR holds a manifest.json that says what each file must give. mode: open_image, or read_picture in one of its modes.
Classes: ok, clean (a MediaError that was due or may be);
and the bad ones: refused (a MediaError for a whole file), wrong, untyped, memory, slow, reached (another file, a
connection or a program was opened), hang, crash. The exit status is 1 when there is one of these.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from anyres.bench.contained import Contained, answer_lines, peak_mb, restart_peak

KINDS = ("image", "array")
BAD = ("refused", "wrong", "untyped", "memory", "slow", "reached", "hang", "crash")
SECONDS, REFUSAL_SECONDS, PATIENCE = 5.0, 2.0, 15.0
MEMORY_MB = 4096
# what a module outside the asked file may do while a picture is read: load more of itself
REACHING = ("open", "socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
OWN = (".py", ".pyc", ".so")
# quarters of the corpus' colour card: red, green, blue, yellow
CARD = {
    (0.25, 0.25): (224, 32, 32),
    (0.75, 0.25): (32, 200, 32),
    (0.25, 0.75): (32, 32, 224),
    (0.75, 0.75): (224, 216, 32),
}
WHITE = (255, 255, 255)

MODES = ("open", "exact", "fast", "draft")

Row = dict[str, Any]


def items_of(corpus: Path, only: str = "") -> list[Mapping[str, Any]]:
    """Return the manifest's items that an image reader may be given."""
    items = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["items"]
    found = [i for i in items if i["kind"] in KINDS or (i["kind"] == "path" and not i["file"].endswith(".mp4"))]
    return [item for item in found if only in item["id"]]


def reader_of(mode: str) -> Callable[[str], Any]:
    """Return what reads a path as a PIL image."""
    from PIL import Image

    from anyres.decode import open_image

    if mode == "open":
        return open_image
    from anyres.reading import read_picture

    def read(path: str) -> Image.Image:
        # a draft that needs every pixel, whose places can be compared
        pixels = read_picture(path, mode, lambda size: size).pixels
        return pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)

    return read


def read_one(read: Callable[[str], Any], item: Mapping[str, Any], path: str, reached: list[str]) -> Row:
    """Return the verdict on one file, with seconds, peak memory in MB and what else was opened."""
    from anyres.decode import image_size
    from anyres.errors import MediaError

    before = restart_peak()
    reached.clear()
    began = time.perf_counter()
    row: Row = {}
    try:
        image = read(path)
        row["verdict"] = verdict_of(item, image)
        if (image.height, image.width) != image_size(path):
            row["verdict"] = f"wrong: {image.size} decoded, the header tells {image_size(path)}"
    except MediaError as error:
        row = {"verdict": f"error: {error.kind}", "words": str(error)[:300]}
    except Exception as error:
        row = {"verdict": f"untyped: {type(error).__name__}", "words": str(error)[:300]}
    row |= {"seconds": time.perf_counter() - began, "mb": peak_mb() - before}
    return row | {"reached": [name for name in reached if path not in name]}


def verdict_of(item: Mapping[str, Any], image: Any) -> str:
    """Return "ok", or "wrong: ..." for an image [PIL, RGB] that is not what the manifest says."""
    expected = item["expect"]
    if expected["outcome"] == "clean_error":
        return f"wrong: read as {image.size}"
    if image.mode != "RGB":
        return f"wrong: mode {image.mode}"
    if "size" in expected and list(image.size) != expected["size"]:
        return f"wrong: {image.size}, expected {expected['size']}"
    probes = [(x, y, colour, tolerance) for x, y, colour, tolerance in expected.get("probes", [])]
    if expected.get("transparent_probe"):
        probes.append((*expected["transparent_probe"], WHITE, 0))
    if item["id"].startswith("a_u8"):
        probes += [(int(x * image.width), int(y * image.height), colour, 0) for (x, y), colour in CARD.items()]
    for x, y, colour, tolerance in probes:
        found = image.getpixel((x, y))
        if max(abs(a - b) for a, b in zip(found, colour, strict=True)) > tolerance:
            return f"wrong: {found} at {x}, {y}, expected {tuple(colour)}"
    return "ok"


def class_of(item: Mapping[str, Any], row: Row) -> str:
    """Return one word for a verdict."""
    expected, word = item["expect"], row["verdict"].split(":")[0]
    if word in ("hang", "crash", "wrong", "untyped"):
        return word
    if row["reached"]:
        return "reached"
    if row["seconds"] > (REFUSAL_SECONDS if word == "error" else expected.get("max_s", SECONDS)):
        return "slow"
    if row["mb"] > expected.get("max_rss_mb", MEMORY_MB):
        return "memory"
    if word == "error":
        return "refused" if expected["outcome"] == "ok" else "clean"
    return word


def run(corpus: Path, only: str = "", mode: str = "open") -> dict[str, Row]:
    """Return a row for each file by its id."""
    process = Contained([sys.executable, "-m", "anyres.bench.hostile", "--child", "--mode", mode])
    rows: dict[str, Row] = {}
    for item in items_of(corpus, only):
        found = process.ask({"item": item, "path": str(corpus / item["file"])}, PATIENCE)
        row = {"verdict": found, "seconds": 0.0, "mb": 0.0, "reached": []} if isinstance(found, str) else found
        rows[item["id"]] = row | {"class": class_of(item, row)}
    process.stop()
    return rows


def child(mode: str) -> None:
    """Answer for one file at a time."""
    # what an import costs is not the first file's
    from PIL import Image

    import anyres.decode  # noqa: F401

    Image.init()
    read = reader_of(mode)
    if mode != "open":
        import torchvision.io  # noqa: F401
    reached: list[str] = []

    def watch(event: str, told: tuple[Any, ...]) -> None:
        # a number is a file that is open already
        if event not in REACHING or isinstance(told[0], int):
            return
        if not str(told[0]).endswith(OWN) and not str(told[0]).startswith("/proc/"):
            reached.append(f"{event} {told[0]}")

    sys.addaudithook(watch)
    answer_lines(lambda asked: read_one(read, asked["item"], asked["path"], reached))


def main() -> int:
    """Run the command; return 1 when a file gave what it must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--only", default="", help="part of an id")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.mode)
        return 0
    rows = run(given.corpus, given.only, given.mode)
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1))
    counts = Counter(row["class"] for row in rows.values())
    print(f"{len(rows)} files", dict(counts.most_common()))
    print("kinds", dict(Counter(row["verdict"] for row in rows.values() if row["class"] == "clean").most_common()))
    for name, row in rows.items():
        if row["class"] in BAD:
            words = f"{row['verdict']} {row.get('words', '')} {' '.join(row['reached'])}"
            print(f"  {row['class']:8} {name}: {words} [{row['seconds']:.2f} s, {row['mb']:.0f} MB]")
    return 1 if any(counts[word] for word in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
