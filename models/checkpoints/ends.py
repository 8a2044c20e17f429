"""End vectors: one table of rows here, one tensor each in the other layouts.

Legend: K end vectors, D language model width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.checkpoints.tensors import LazyTensors, lazily

TABLE = "ends_KD"
NEWLINE, FASTER = f"{TABLE}.0", f"{TABLE}.1"
WORDS = "llm.model.embed_tokens.weight"


def stack_ends(tensors: LazyTensors) -> LazyTensors:
    """Return tensors whose ends_KD.0, ends_KD.1 became the rows of ends_KD.

    A model without any (merged "flat") gets one row of zeros, which no plan of it asks for.
    """
    rows = sorted(key for key in tensors if key.startswith(TABLE + "."))
    rest = tensors.renamed({key: key for key in tensors if key not in rows})
    if rows:
        table_KD = torch.stack([tensors[key] for key in rows])
    else:
        words_VD = tensors[WORDS]
        table_KD = torch.zeros(1, words_VD.shape[1], dtype=words_VD.dtype)
    return rest.joined({TABLE: table_KD})


def split_ends(tensors: Mapping[str, Tensor], keep: bool = True) -> LazyTensors:
    """Return tensors with one ends_KD.i per row of ends_KD, or with none of them when the model has no end vectors."""
    rest = lazily(tensors).renamed({key: key for key in tensors if key != TABLE})
    if not keep:
        return rest
    return rest.joined({f"{TABLE}.{number}": row_D for number, row_D in enumerate(tensors[TABLE])})
