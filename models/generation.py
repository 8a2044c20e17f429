"""Write tokens one after the other from a language model's inputs and its cache.

Legend: B rows, L sequence, D language model width, V vocabulary, N new tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache

from models.reading import read

Stopped = Callable[[Sequence[int]], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampling:
    """How the next token is chosen. temperature 0: the most likely one; above it, drawn with `generator`.

    top_p: only the most likely tokens that together have this probability are drawn from.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature: expected at least 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected more than 0 and at most 1, got {self.top_p}")
        if self.temperature > 0 and self.generator is None:
            raise ValueError(f"generator: temperature {self.temperature} draws tokens, which needs a torch.Generator")


def choose(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """Return the next id of each row [B], on the device of the logits."""
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    chances_BV = (logits_BV.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ranked_BV, order_BV = chances_BV.sort(-1, descending=True)
        # a token stays when those before it do not reach top_p: the first always does
        ranked_BV = ranked_BV.masked_fill(ranked_BV.cumsum(-1) - ranked_BV >= sampling.top_p, 0)
        chances_BV = torch.zeros_like(chances_BV).scatter(-1, order_BV, ranked_BV)
    return torch.multinomial(chances_BV, 1, generator=sampling.generator)[:, 0]


def write(
    llm: PreTrainedModel,
    embeds_BLD: Tensor,
    attention_BL: Tensor,
    positions_BL: Tensor,
    max_new_tokens: int,
    *,
    cache: Cache,
    sampling: Sampling,
    piece: int | None = None,
    stop_ids: Sequence[int] = (),
    stopped: Stopped | None = None,
    emit: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Return new ids [B, N <= max_new_tokens]; a row that has ended is filled with the first stop id, or 0.

    embeds_BLD, positions_BL: what follows the cache, padded on the left. attention_BL: as long as the cache and the
    inputs together. A row ends with a stop id, or where `stopped` says so of its ids. emit: gets each step's ids [B].
    piece: how many positions are read at a time (models.reading). Once half the rows have ended, the others go on
    without them; the cache afterwards holds all but the last ids of those that went on to the end.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
    fill, device = stop_ids[0] if stop_ids else 0, embeds_BLD.device
    rows: list[list[int]] = [[] for _ in range(len(embeds_BLD))]
    # the rows that are still computed, and which of them have ended
    live, ended = list(range(len(rows))), [False] * len(rows)
    logits_BV, last_B1 = read(llm, embeds_BLD, cache, piece, attention_BL, positions_BL), positions_BL[:, -1:]
    for step in range(max_new_tokens):
        ids_B = choose(logits_BV.to(device), sampling)
        # one wait for the device a step
        for row, token in zip(live, ids_B.tolist(), strict=True):
            rows[row].append(fill if ended[row] else token)
            ended[row] = ended[row] or token in stop_ids or (stopped is not None and stopped(rows[row]))
        if emit is not None:
            emit(torch.tensor([rows[row][-1] for row in live], device=device))
        if all(ended) or step + 1 == max_new_tokens:
            break
        going = [place for place, row in enumerate(live) if not ended[row]]
        # draws are made for all rows, and a laid out cache keeps its rows
        if 2 * len(going) <= len(live) and sampling.temperature == 0 and isinstance(cache, DynamicCache):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            attention_BL, last_B1, live = attention_BL[kept], last_B1[kept], [live[place] for place in going]
        attention_BL = torch.cat([attention_BL, attention_BL.new_ones(len(live), 1)], dim=1)
        last_B1 = last_B1 + 1
        ids_B1 = torch.tensor([rows[row][-1:] for row in live], device=device)
        logits_BV = read(llm, llm.get_input_embeddings()(ids_B1), cache, None, attention_BL, last_B1)
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows], device=device)
