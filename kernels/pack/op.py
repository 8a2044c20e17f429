"""The entry point of packing: pack(features, ends, table) -> tokens."""

from torch import Tensor

from kernels.pack.reference import pack_reference
from kernels.pack.table import PackTable


def pack(features_NPD: Tensor, ends_KD: Tensor, table: PackTable) -> Tensor:
    """Return the packed visual tokens [T, D] of a batch of plans.

    Raises ValueError when the features do not hold the tokens that the table was built for.
    """
    found = features_NPD.shape[0] * features_NPD.shape[1]
    if found != table.num_source:
        raise ValueError(f"pack: the plans need {table.num_source} encoder tokens, the features hold {found}")
    return pack_reference(features_NPD, ends_KD, table)
