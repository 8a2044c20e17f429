"""A command for tests of launchers: `python -m toy_job NUMBER [fail | wait]` leaves a file, and prints what it is."""

import os
import sys
import time
from pathlib import Path


def main() -> int:
    number, *how = sys.argv[1:]
    with Path(f"started-{number}").open("a") as started:
        started.write("x")
    if how == ["fail"]:
        print(f"toy_job: {number} is no good", file=sys.stderr)
        return 3
    try:
        if how == ["wait"]:
            time.sleep(60)
    except KeyboardInterrupt:
        Path(f"interrupted-{number}").touch()
        return 130
    Path(f"done-{number}").write_text(f"{int(number) ** 2} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}")
    print(f"job {number}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
