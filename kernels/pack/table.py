"""The int tables that tell a packing kernel what each visual token is made of.

Legend: N tiles, P tokens per tile, S segments, C columns, T packed tokens.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


class Column(IntEnum):
    """Columns of the segment table."""

    SRC = 0  # first source token of the canvas in the flat [N * P] features
    COLS = 1  # tiles in a row of the canvas
    TOK = 2  # tokens per side of a tile
    Y = 3  # crop, in canvas tokens
    X = 4
    H = 5
    W = 6
    OUT_H = 7  # size after resampling
    OUT_W = 8
    END = 9  # 0 none, 1 after each row, 2 after the segment
    VEC = 10  # which end vector
    DST = 11  # first packed token of the segment


END_CODES = {"none": 0, "row": 1, "segment": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackTable:
    """One batch's packing, as tables.

    segments_SC: int32 [S, 12], columns as in Column. segment_of_T: int32 [T], the segment of each packed token.
    num_tokens: T, on the host, so that sizing the output never waits for a device. num_source: N * P expected.
    """

    segments_SC: Tensor
    segment_of_T: Tensor
    num_tokens: int
    num_source: int

    @classmethod
    def of(cls, rows: list[list[int]], token_counts: list[int], num_source: int) -> "PackTable":
        """Build the table on the host from one row of ints per segment and each segment's token count."""
        segments_SC = torch.tensor(rows, dtype=torch.int32).reshape(len(rows), len(Column))
        counts_S = torch.tensor(token_counts, dtype=torch.int64)
        segment_of_T = torch.repeat_interleave(torch.arange(len(rows), dtype=torch.int32), counts_S)
        return cls(
            segments_SC=segments_SC,
            segment_of_T=segment_of_T,
            num_tokens=sum(token_counts),
            num_source=num_source,
        )

    def to(self, device: torch.device | str) -> "PackTable":
        """Return the table with its tensors on a device."""
        return PackTable(
            segments_SC=self.segments_SC.to(device),
            segment_of_T=self.segment_of_T.to(device),
            num_tokens=self.num_tokens,
            num_source=self.num_source,
        )
