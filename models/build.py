"""Build a model from its spec, and load one with its processor from a folder, whatever its layout."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.checkpoints.ends import TABLE
from models.checkpoints.load import fill, read_checkpoint
from models.checkpoints.save import DTYPES
from models.encoders.build import build_encoder
from models.llms.build import build_llm, llm_config
from models.lmm import LMM
from models.processor import Processor
from models.projectors.build import build_projector
from models.spec import ModelSpec

POCKET = Path(__file__).parent / "pocket" / "weights"


def load(
    source: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    rope_factor: float | None = None,
) -> tuple[LMM, Processor]:
    """Return the model of `source`, in evaluation mode, and its processor.

    source: "pocket" (the model that ships), a run folder, a llava-hf folder or an official LLaVA-NeXT folder.
    dtype: of the weights in memory; by default float32 on a CPU and the stored dtype elsewhere.
    rope_factor: linear position scaling, instead of the checkpoint's own; the context grows by it.

    Nothing is downloaded and no code from the folder runs. Raises ValueError for an unknown layout, a key that is
    missing or not supported, or weights that do not fit.
    """
    folder = POCKET if source == "pocket" else Path(source)
    checkpoint = read_checkpoint(folder)
    spec = checkpoint.spec if rope_factor is None else replace(checkpoint.spec, rope_factor=rope_factor)
    chosen = dtype or (torch.float32 if torch.device(device).type == "cpu" else DTYPES[spec.dtype])
    if TABLE not in checkpoint.tensors:
        raise ValueError(f"{folder}: weights do not fit: {TABLE} is missing")
    num_ends = checkpoint.tensors[TABLE].shape[0]
    model = build_model(spec, checkpoint.llm_config, chosen, num_ends, initialise=False)
    try:
        fill(model, checkpoint.tensors)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    return model.to(device).eval(), Processor(spec, checkpoint.tokenizer)


def build_model(
    spec: ModelSpec,
    raw_llm: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
    num_ends: int = 1,
    initialise: bool = True,
) -> LMM:
    """Return a model of a spec with random weights, or undefined ones without `initialise`.

    raw_llm: the language model's transformers config as a dict, positions as trained: the spec's RoPE factor is applied
    here. num_ends: learned end vectors. Raises ValueError when the spec's sizes and the config's differ.
    """
    config = llm_config(dict(raw_llm), spec.rope_factor)
    if config.hidden_size != spec.projector.dim_out or config.hidden_size != spec.llm.hidden:
        raise ValueError(
            f"{spec.name}: the language model is {config.hidden_size} wide, the spec says llm.hidden {spec.llm.hidden} "
            f"and projector.dim_out {spec.projector.dim_out}"
        )
    return LMM(
        build_encoder(spec.encoder, dtype=dtype, initialise=initialise),
        build_projector(spec.projector, dtype=dtype),
        build_llm(config, dtype, initialise),
        num_ends=num_ends,
    )
