"""A decoder process: read what to decode from standard input, write pixels to standard output (see evals.decoders)."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import numpy as np
from PIL import Image

from evals.ahead import MediaFailed
from evals.decoders import from_request, receive, send
from evals.decoding import decode


def main() -> None:
    """Answer until the other side closes the pipe."""
    # a library that prints would spoil the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            words = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            decoded = decode(*from_request(words))
        except (MediaFailed, MemoryError) as error:
            send(answers, {"error": str(error) or f"{words['media']['path']}: {type(error).__name__}"})
            continue
        if isinstance(decoded, Image.Image):
            pixels = np.asarray(decoded)
            send(answers, {"shape": pixels.shape}, memoryview(np.ascontiguousarray(pixels)))
            continue
        told = {"shape": decoded.frames_FHWC.shape, "times": decoded.times_F.tolist(), "indices": decoded.indices}
        named = {**told, "reader": decoded.reader, "meta": asdict(decoded.meta)}
        send(answers, named, memoryview(np.ascontiguousarray(decoded.frames_FHWC)))


if __name__ == "__main__":
    main()
