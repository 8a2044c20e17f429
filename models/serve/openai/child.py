"""The process that decodes one request's media: `python -m models.serve.openai.child MEMORY CPU_S FILE_BYTES`.

It starts ahead, bounds itself, and waits for one line: the job as JSON. Then it reads the files 0.in, 1.in, ... of its
working folder, which is its own, and leaves pixels.out (the bytes of all media in order) and reply.out there. What it
read cannot make it more than a reply: no code, no network where the kernel lets it drop that, bounded memory and time.
"""

import ctypes
import json
import resource
import sys
from pathlib import Path
from typing import Any

REPLY, PIXELS = "reply.out", "pixels.out"
# from linux/sched.h: a user namespace of its own, which may then have an empty network
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


def main() -> int:
    """Decode one job; the reply says what came out, or what is wrong with which medium."""
    memory, seconds, file_bytes = map(int, sys.argv[1:4])
    alone = cut_network()
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (most, most))
    # before the job comes: this is what takes time
    from models.serve.openai.decode import Refused, decode

    print(json.dumps({"network": not alone}), flush=True)
    line = sys.stdin.readline()
    if not line:
        return 0
    try:
        with Path(PIXELS).open("wb") as pixels:
            reply: dict[str, Any] = {"media": decode(json.loads(line), pixels)}
    except Refused as error:
        reply = {"refused": str(error), "index": error.index}
    except MemoryError:
        reply = {"refused": "needs too much memory to decode", "index": -1}
    Path(REPLY).write_text(json.dumps(reply))
    return 0


def cut_network() -> bool:
    """Leave the network of the machine; return False where the kernel does not allow that."""
    if not sys.platform.startswith("linux"):
        return False
    return ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NETWORK) == 0


if __name__ == "__main__":
    sys.exit(main())
