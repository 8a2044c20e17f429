"""Check that a demo run left what the README promises: a self-contained report and two tables of rows."""

import json
import sys
from pathlib import Path

FIELDS = {"task", "setting", "n", "accuracy", "low", "high", "tokens"}


def main(folder: Path) -> None:
    """Exit with a message when a promised file or field is missing."""
    report = (folder / "report.html").read_text()
    if "<img" not in report and "<svg" not in report:
        sys.exit(f"{folder}/report.html holds no plot")
    for name in ("resolution.json", "video.json"):
        rows = json.loads((folder / name).read_text())
        missing = [FIELDS - row.keys() for row in rows if FIELDS - row.keys()]
        if not rows or missing:
            sys.exit(f"{folder}/{name}: {len(rows)} rows, missing fields {missing[:1]}")
        if not any(row["task"] == "mean" for row in rows):
            sys.exit(f"{folder}/{name}: no row with task 'mean'")
        print(f"{folder / name}: {len(rows)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
