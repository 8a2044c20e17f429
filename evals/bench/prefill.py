"""Peak memory and logits of a long prompt, read at once and in pieces, each in a process of its own.

    python -m evals.bench.prefill --positions 8192 --pieces 0 1024 256      # 0: all at once

A small Llama with random weights reads vectors. "peak" is the most resident memory above that before reading.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from anyres.bench.contained import peak_mb, restart_peak
from models.reading import new_cache, read

SIZES = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 4, "num_attention_heads": 8}


@torch.inference_mode()
def once(positions: int, piece: int | None) -> dict[str, float | list[float]]:
    """Return peak MB, MB of keys and values, seconds and some logits of one reading."""
    torch.manual_seed(0)
    config = LlamaConfig(**SIZES, vocab_size=1000, max_position_embeddings=positions)
    llm = AutoModelForCausalLM.from_config(config).eval()
    embeds_BLD = torch.randn(1, positions, SIZES["hidden_size"])
    read(llm, embeds_BLD[:, :8], new_cache(llm, "dynamic", 8), None)
    before, start = restart_peak(), time.perf_counter()
    cache = new_cache(llm, "dynamic", positions)
    logits_BV = read(llm, embeds_BLD, cache, piece)
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    return {
        "peak_mb": peak_mb() - before,
        "kept_mb": kept / 2**20,
        "seconds": time.perf_counter() - start,
        "logits": logits_BV[0].tolist(),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each size of piece."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=8192)
    parser.add_argument("--pieces", type=int, nargs="+", default=[0, 1024, 256])
    parser.add_argument("--json", action="store_true", help="read once, with the first of --pieces, and print JSON")
    arguments = parser.parse_args(argv)
    if arguments.json:
        print(json.dumps(once(arguments.positions, arguments.pieces[0] or None)))
        return
    reference: list[float] = []
    for piece in arguments.pieces:
        command = [sys.executable, "-m", "evals.bench.prefill", "--json", "--positions", str(arguments.positions)]
        done = subprocess.run([*command, "--pieces", str(piece)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        reference = reference or found["logits"]
        off = max(abs(a - b) for a, b in zip(found["logits"], reference, strict=True))
        print(
            f"{arguments.positions} positions in pieces of {piece or arguments.positions}: peak {found['peak_mb']:.0f} "
            f"MB, of which keys and values {found['kept_mb']:.0f} MB; {found['seconds']:.1f} s; logits off by {off:.1e}"
        )


if __name__ == "__main__":
    sys.exit(main())
