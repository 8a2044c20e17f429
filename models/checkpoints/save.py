"""Write a model as a run folder."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.format import Checkpoint, write_run
from models.llms.rope import unscale_rope
from models.lmm import LMM
from models.processor import Processor

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def save(folder: Path | str, model: LMM, processor: Processor, dtype: str | None = None) -> None:
    """Write a model and what rebuilds it to `folder`, its weights in `dtype` (default: the model's own).

    The model's own dtype comes back bit-equal; float16 and bfloat16 round float32 weights.
    """
    name = dtype or str(model.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"save: dtype {name!r} is none of {', '.join(DTYPES)}")
    spec = replace(processor.spec, dtype=name)
    checkpoint = Checkpoint(
        spec=spec,
        llm_config=unscale_rope(model.llm.config.to_dict(), spec.rope_factor, spec.rope_type),
        tokenizer=processor.tokenizer,
        tensors={key: value.to(DTYPES[name]) for key, value in weights(model).items()},
    )
    write_run(Path(folder), checkpoint)


def weights(model: LMM) -> dict[str, Tensor]:
    """Return a model's tensors by run folder names, a tied output layer left out.

    Raises ValueError for a quantised model, whose weights are gone.
    """
    state = model.state_dict()
    odd = [key for key, value in state.items() if type(value) is not Tensor or value.dtype not in DTYPES.values()]
    if odd:
        raise ValueError(
            f"{len(odd)} tensors are quantised or of another dtype ({odd[0]}); save the model they came from"
        )
    if model.llm.config.tie_word_embeddings:
        state.pop("llm.lm_head.weight", None)
    return state
