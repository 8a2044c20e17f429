"""The int tables that tell a packing kernel what each visual token is made of.

Legend: N tiles, P tokens per tile, S segments, C columns, T packed tokens.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from kernels.pack.columns import END_CODES, LARGEST_BLOCK, REDUCE_CODES, Column
from kernels.pack.gather import gather_map
from kernels.pack.maps import GatherMap, InverseMap, inverse_map
from kernels.pack.move import moved


@dataclass(slots=True, kw_only=True)
class Made:
    """What was derived from a table so far, by the dtype of its weights."""

    gather: dict[torch.dtype, GatherMap] = field(default_factory=dict)
    inverse: dict[torch.dtype, InverseMap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackTable:
    """One batch's packing, as tables.

    segments_SC: int32 [S, 14], columns as in Column. segment_of_T: int32 [T], the segment of each packed token.
    num_tokens: T, on the host, so that sizing the output never waits for a device. num_source: N * P expected.
    num_ends: end vectors that the segments ask for. resampled, blocks, peaks: whether any segment is resampled, any
    pooled by blocks, and any of those by its largest. host_SC, host_T: the two tables on the host, whatever the device.
    """

    segments_SC: Tensor
    segment_of_T: Tensor
    num_tokens: int
    num_source: int
    num_ends: int
    resampled: bool
    blocks: bool
    peaks: bool
    host_SC: np.ndarray = field(repr=False)
    host_T: np.ndarray = field(repr=False)
    made: Made = field(default_factory=Made, repr=False)

    @classmethod
    def of(cls, rows: list[list[int]], token_counts: list[int], num_source: int) -> "PackTable":
        """Build the table on the host from one row of ints per segment and each segment's token count.

        Raises ValueError for a segment that reads outside the source tokens or whose token count is not its rows'.
        """
        wide_SC = np.array(rows, dtype=np.int64).reshape(len(rows), len(Column))
        counts_S = np.array(token_counts, dtype=np.int64)
        _check(wide_SC, counts_S, num_source)
        host_SC = wide_SC.astype(np.int32)
        host_T = np.repeat(np.arange(len(rows), dtype=np.int32), counts_S)
        closed_S = host_SC[:, Column.END] != END_CODES["none"]
        # blocks of one token are copies
        resized_S = (host_SC[:, Column.H : Column.W + 1] != host_SC[:, Column.OUT_H : Column.OUT_W + 1]).any(1)
        reduce_S = host_SC[resized_S, Column.REDUCE]
        last_row_end = int(host_SC[closed_S, Column.VEC].max(initial=-1))
        return cls(
            segments_SC=torch.from_numpy(host_SC),
            segment_of_T=torch.from_numpy(host_T),
            num_tokens=len(host_T),
            num_source=num_source,
            num_ends=max(last_row_end + 1, int(host_SC[:, Column.CLOSE].max(initial=0))),
            resampled=bool((reduce_S == REDUCE_CODES["bilinear"]).any()),
            blocks=bool((reduce_S != REDUCE_CODES["bilinear"]).any()),
            peaks=bool((reduce_S == REDUCE_CODES["max"]).any()),
            host_SC=host_SC,
            host_T=host_T,
        )

    @classmethod
    def copies(cls, num_tokens: int) -> "PackTable":
        """Return the table of packed tokens that are the source tokens, in order: tiles of one token side by side."""
        sides = [1, num_tokens, 1, num_tokens]
        row = [0, num_tokens, 1, 0, 0, *sides, END_CODES["none"], 0, 0, REDUCE_CODES["bilinear"], 0]
        return cls.of([row], [num_tokens], num_source=num_tokens)

    @property
    def device(self) -> torch.device:
        """Return where the tables are."""
        return self.segments_SC.device

    def to(self, device: torch.device | str) -> "PackTable":
        """Return the table on a device, with what was derived from it; to a GPU by one transfer, not waited for."""
        inverses = self.made.inverse
        tables = [self.segments_SC, self.segment_of_T]
        for inverse in inverses.values():
            tables += inverse.tensors()
        segments_SC, segment_of_T, *rest = moved(tables, device)
        size = len(rest) // max(len(inverses), 1)
        inverse_of = {
            dtype: InverseMap.of(rest[place * size : (place + 1) * size]) for place, dtype in enumerate(inverses)
        }
        return replace(
            self,
            segments_SC=segments_SC,
            segment_of_T=segment_of_T,
            made=Made(gather=dict(self.made.gather), inverse=inverse_of),
        )

    def prepare(self, backward: bool = False, dtype: torch.dtype = torch.float32) -> "PackTable":
        """Return the table itself with its maps made, so that a data worker pays for them and compiled code finds them.

        backward: gradients will be asked for. dtype: of the features, where packing runs on a CPU.
        """
        self.gather(dtype)
        if backward:
            self.inverse(dtype)
        return self

    def gather(self, dtype: torch.dtype = torch.float32) -> GatherMap:
        """Return which source tokens make each packed token, on the host; made once per table and dtype of weights."""
        if dtype not in self.made.gather:
            if dtype == torch.float32:
                made = gather_map(self.host_SC, self.host_T)
            else:
                exact = self.gather()
                made = replace(exact, taps=exact.taps.weighted_in(dtype))
            self.made.gather[dtype] = made
        return self.made.gather[dtype]

    def inverse(self, dtype: torch.dtype = torch.float32) -> InverseMap:
        """Return which packed tokens each source token and each end vector feeds; made once per table and dtype."""
        if dtype not in self.made.inverse:
            exact = inverse_map(self.gather(), self.num_source, self.num_ends)
            made = replace(exact, taps=exact.taps.weighted_in(dtype))
            self.made.inverse[dtype] = made.to(self.device)
        return self.made.inverse[dtype]


def _check(wide_SC: np.ndarray, counts_S: np.ndarray, num_source: int) -> None:
    if max(num_source, int(counts_S.sum())) >= 2**31:
        raise ValueError(f"pack: {num_source} source and {counts_S.sum()} packed tokens, a table holds less than 2**31")
    src, cols, tok, y, x, h, w, out_h, out_w, end, _, dst, reduce, close = wide_SC.T
    ends_S = np.select([end == END_CODES["row"], end == END_CODES["segment"]], [out_h, 1], 0) + (close > 0)
    in_blocks = (out_h * out_w > 0) & (h % np.maximum(out_h, 1) == 0) & (w % np.maximum(out_w, 1) == 0)
    last_y, last_x = np.maximum(y + h - 1, 0), np.maximum(x + w - 1, 0)
    stop = src + (last_y // tok * cols + last_x // tok + 1) * tok * tok
    problems = {
        "has a negative entry": (wide_SC < 0).any(1),
        "crops beyond its canvas": (x + w > cols * tok) | (stop > num_source),
        "resamples an empty crop": (h * w == 0) & (out_h * out_w > 0),
        "has an unknown reduction": reduce >= len(REDUCE_CODES),
        "is not made of whole blocks": (reduce != REDUCE_CODES["bilinear"]) & ~in_blocks,
        f"takes the largest of more than {LARGEST_BLOCK} tokens": (reduce == REDUCE_CODES["max"])
        & (h * w > LARGEST_BLOCK * out_h * out_w),
        "has another number of tokens than its rows": counts_S != out_h * out_w + ends_S,
        "does not start where the one before stops": dst != np.cumsum(counts_S) - counts_S,
    }
    for problem, wrong_S in problems.items():
        if wrong_S.any():
            segment = int(np.flatnonzero(wrong_S)[0])
            row = {column.name: int(wide_SC[segment, column]) for column in Column}
            raise ValueError(
                f"pack: segment {segment} {problem}: {row}, {counts_S[segment]} tokens, {num_source} source"
            )
