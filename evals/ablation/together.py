"""Answer prompts of several settings of one model together: what they begin with alike is read once.

The base view comes first, so the keys and values of the words before it and of its tokens are the same at every point
of a sweep, and all that stands before a question is the same for every question about a medium. Prompts whose tokens
are all equal are answered once.

Legend: B rows, L positions of a row, P positions before, S own positions, D width, H heads, K head width, N tiles, E
encoder width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from anyres.plan import VisualPlan
from evals.ablation.trie import Codes, Trie, build_trie
from evals.answerer import NO_MEMORY
from evals.finite import Finite
from evals.protocol import Answer, OutOfMemory, Ready
from evals.stopwatch import Stopwatch
from models.filling import fill
from models.generation import Sampling, write
from models.laid_out import laid_out
from models.lmm import LMM
from models.prepared import Prepared
from models.processor import Processor
from models.prompt.positions import TEXT
from models.same import distinct

# codes of one segment's tokens: more than a segment has
_PER_SEGMENT = 1 << 24
# rows are read in one batch where the longest has at most this many times their mean length
_PADDING = 1.05
# rows are written together up to this many times the length of the shortest
_SPREAD = 1.5
# positions of one batch on a CPU, whose caches hold no more
_CPU_POSITIONS = 2048
KeysValues = tuple[tuple[Tensor, Tensor], ...]


@dataclass(slots=True)
class ReadCounts:
    """Count prompts and positions. asked: what prompts of their own have; read: what the model was given, padding too.

    answered: prompts that were written on from; the others are equal to one of them.
    """

    prompts: int = 0
    answered: int = 0
    asked: int = 0
    read: int = 0


class Together:
    """Answers with `model`, whatever settings the prompts were prepared by. `positions` bounds what is held at once."""

    def __init__(
        self, model: LMM, processor: Processor, positions: int = 32768, counts: ReadCounts | None = None
    ) -> None:
        self.model, self.processor, self.positions = model, processor, positions
        self.counts = counts or ReadCounts()
        self._at_once = min(positions, _CPU_POSITIONS) if model.device.type == "cpu" else positions

    def answers(self, ready: Sequence[Ready], max_new_tokens: int) -> Iterator[dict[int, Answer]]:
        """Yield greedy answers by the index of their question, as many at a time as are held together.

        Raises OutOfMemory when what is held is too large for the device; what was yielded before stays valid.
        """
        prepared: list[Prepared] = [item.payload for item in ready]  # type: ignore[misc]
        if not prepared:
            return
        tiles = _Tiles(prepared)
        codes = [tiles.codes(one) for one in prepared]
        for chunk in self._chunks(codes, [one.pack_first for one in prepared]):
            rows = [prepared[members[0]] for members in chunk]
            try:
                found = self._answer(rows, [codes[members[0]] for members in chunk], max_new_tokens, chunk)
            except RuntimeError as error:
                if not isinstance(error, torch.OutOfMemoryError) and not any(word in str(error) for word in NO_MEMORY):
                    raise
                raise OutOfMemory(str(error)) from error
            yield found

    def _chunks(self, codes: Sequence[Codes], kinds: Sequence[bool]) -> Iterator[list[list[int]]]:
        """Yield lists of distinct prompts, each as the indices that have it, neighbours in what they begin with."""
        equal: dict[bytes, list[int]] = {}
        for index, codes_L in enumerate(codes):
            equal.setdefault(codes_L.astype(">i8").tobytes(), []).append(index)
        held, chunk = 0, []
        for _, members in sorted(equal.items(), key=lambda item: (kinds[item[1][0]], item[0])):
            length, kind = len(codes[members[0]]), kinds[members[0]]
            if chunk and (held + length > self.positions or kind != kinds[chunk[0][0]]):
                yield chunk
                held, chunk = 0, []
            chunk.append(members)
            held += length
        if chunk:
            yield chunk

    @torch.inference_mode()
    def _answer(
        self,
        rows: Sequence[Prepared],
        codes: Sequence[Codes],
        max_new_tokens: int,
        members: Sequence[Sequence[int]],
    ) -> dict[int, Answer]:
        with Stopwatch(self.model) as watch, Finite(self.model):
            embeds = self._embeds(rows)
            # the last position of each row is read with the first step of writing
            trie = build_trie([codes_L[:-1] for codes_L in codes])
            read = self._read(trie, embeds)
            written = self._write(trie, embeds, read, max_new_tokens)
        self.counts.prompts += sum(len(same) for same in members)
        self.counts.answered += len(rows)
        self.counts.asked += sum(len(codes_L) * len(same) for codes_L, same in zip(codes, members, strict=True))
        self.counts.read += len(rows)
        count = sum(len(same) for same in members)
        answers = [
            Answer(
                text=self.processor.decode(ids_N),
                tokens=len(self.processor.written(ids_N)),
                encode_seconds=watch.encode / count,
                prefill_seconds=watch.prefill / count,
                decode_seconds=watch.decode / count,
                batch=count,
                peak_mib=watch.peak_mib,
            )
            for ids_N in written
        ]
        return {index: answer for same, answer in zip(members, answers, strict=True) for index in same}

    def _embeds(self, rows: Sequence[Prepared]) -> list[Tensor]:
        """Return the language model's inputs [L, D] of each row; each distinct tile is encoded once."""
        batch = self.processor.collate(rows).to(self.model.device)
        embeds_BLD = self.model.embed(batch)
        return [embeds_LD[: len(one.prompt)] for embeds_LD, one in zip(embeds_BLD, rows, strict=True)]

    def _read(self, trie: Trie, embeds: Sequence[Tensor]) -> list[KeysValues]:
        """Return what the language model keeps of each node's own positions: [H, S, K] of each layer."""
        kept: dict[int, KeysValues] = {}
        for batch in _batches(trie, self._at_once):
            nodes = [trie.nodes[index] for index in batch]
            start, longest = nodes[0].start, max(node.length for node in nodes)
            # padded on the right: no position reads what follows it
            inputs_BSD = torch.stack([_padded(embeds[node.rows[0]][node.start : node.end], longest) for node in nodes])
            before = [[kept[step] for step in trie.path(node.parent)] for node in nodes]
            cache = _stacked(before, start, longest)
            positions_BS = torch.arange(start, start + longest, device=inputs_BSD.device).expand(len(nodes), -1)
            fill(self.model.llm, inputs_BSD, positions_BS, cache)
            self.counts.read += inputs_BSD.shape[0] * inputs_BSD.shape[1]
            for row, (index, node) in enumerate(zip(batch, nodes, strict=True)):
                own = slice(start, start + node.length)
                kept[index] = tuple(
                    (layer.keys[row, :, own].clone(), layer.values[row, :, own].clone()) for layer in cache.layers
                )
        return [kept[index] for index in range(len(trie.nodes))]

    def _write(
        self, trie: Trie, embeds: Sequence[Tensor], read: Sequence[KeysValues], max_new_tokens: int
    ) -> list[list[int]]:
        """Return the new ids of each row; rows of like length are written together."""
        written: dict[int, list[int]] = {}
        lengths = [len(embeds_LD) for embeds_LD in embeds]
        batch: list[int] = []
        for row in sorted(range(len(embeds)), key=lambda row: lengths[row]):
            if batch and lengths[row] > _SPREAD * lengths[batch[0]]:
                written.update(self._write_some(batch, trie, embeds, read, max_new_tokens))
                batch = []
            batch.append(row)
        written.update(self._write_some(batch, trie, embeds, read, max_new_tokens))
        return [written[row] for row in range(len(embeds))]

    def _write_some(
        self,
        rows: Sequence[int],
        trie: Trie,
        embeds: Sequence[Tensor],
        read: Sequence[KeysValues],
        max_new_tokens: int,
    ) -> dict[int, list[int]]:
        before = [[read[step] for step in trie.path(trie.leaf[row])] for row in rows]
        lengths = [len(embeds[row]) - 1 for row in rows]
        longest, device = max(lengths), embeds[0].device
        lengths_B1 = torch.tensor(lengths, device=device)[:, None]
        # padded on the left, as the rows go on at the right
        attention_BL = (torch.arange(longest + 1, device=device) >= longest - lengths_B1).long()
        ids_BN = write(
            self.model.llm,
            torch.stack([embeds[row][-1:] for row in rows]),
            attention_BL,
            lengths_B1,
            max_new_tokens,
            cache=_stacked(before, longest, max_new_tokens),
            sampling=Sampling(),
            stop_ids=self.processor.stop_ids,
            stopped=self.processor.stopper(),
        )
        return dict(zip(rows, ids_BN.tolist(), strict=True))


class _Tiles:
    """Numbers of tiles, the same for the same pixels, and the codes that prompts of them have."""

    def __init__(self, prepared: Sequence[Prepared]) -> None:
        # kept by who holds the prompts: an id is never given to other pixels meanwhile
        shown = list({id(one.pixels_NCHW): one.pixels_NCHW for one in prepared}.values())
        lengths = [len(pixels_NCHW) for pixels_NCHW in shown]
        index_N = distinct(shown, [range(length) for length in lengths])[1]
        names = list(range(sum(lengths))) if index_N is None else index_N.tolist()
        starts = accumulate(lengths, initial=0)
        self._names = {
            id(pixels_NCHW): names[start : start + len(pixels_NCHW)]
            for start, pixels_NCHW in zip(starts, shown, strict=False)
        }
        self._segments: dict[tuple[object, ...], int] = {}

    def codes(self, prepared: Prepared) -> Codes:
        """Return a code for each position: a word's id, or below 0 what a visual token is made of and how."""
        names, parts, start = self._names[id(prepared.pixels_NCHW)], [], 0
        for plan, known_TD in zip(prepared.plans, prepared.known or (None,) * len(prepared.plans), strict=True):
            if known_TD is not None:
                parts.append(self._known(known_TD))
                continue
            parts.append(self._plan(plan, names[start : start + plan.num_tiles], prepared.pack_first))
            start += plan.num_tiles
        visual_T = np.concatenate([*parts, np.zeros(1, dtype=np.int64)])
        seen_L = np.array(prepared.prompt.visual)
        return np.where(seen_L == TEXT, np.array(prepared.prompt.ids), visual_T[seen_L]).astype(np.int64)

    def _known(self, known_TD: Tensor) -> Codes:
        """Return the codes of tokens that were encoded before: one another's, by who holds them."""
        number = self._segments.setdefault(("known", id(known_TD)), len(self._segments))
        return -1 - number * _PER_SEGMENT - np.arange(len(known_TD), dtype=np.int64)

    def _plan(self, plan: VisualPlan, names: Sequence[int], pack_first: bool) -> Codes:
        starts = list(accumulate((canvas.tiles.area for canvas in plan.canvases), initial=0))
        codes = []
        for segment in plan.segments:
            shown = tuple(names[starts[segment.canvas] : starts[segment.canvas + 1]])
            # a crop may reach over several tiles: how they lie counts too
            key = (shown, plan.canvases[segment.canvas].tiles, replace(segment, canvas=0), pack_first)
            number = self._segments.setdefault(key, len(self._segments))
            codes.append(-1 - number * _PER_SEGMENT - np.arange(segment.num_tokens, dtype=np.int64))
        return np.concatenate(codes) if codes else np.zeros(0, dtype=np.int64)


def _batches(trie: Trie, positions: int) -> Iterator[list[int]]:
    """Yield nodes to read at once: as many positions before them, nearly as many of their own; parents first."""
    levels: dict[tuple[int, int], list[int]] = {}
    for index, node in enumerate(trie.nodes):
        levels.setdefault((node.depth, node.start), []).append(index)
    for _, indices in sorted(levels.items()):
        batch: list[int] = []
        for index in sorted(indices, key=lambda one: trie.nodes[one].length):
            longest = trie.nodes[index].length
            lengths = [*(trie.nodes[one].length for one in batch), longest]
            fits = (trie.nodes[index].start + longest) * len(lengths) <= positions
            if batch and not (fits and longest * len(lengths) <= _PADDING * sum(lengths)):
                yield batch
                batch = []
            batch.append(index)
        yield batch


def _padded(embeds_SD: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(embeds_SD, (0, 0, 0, length - len(embeds_SD)))


def _stacked(rows: Sequence[Sequence[KeysValues]], longest: int, room: int) -> DynamicCache:
    """Return rows, each the stretches that it begins with, as one cache of `longest` positions, padded on the left.

    room: for so many positions that follow.
    """
    if not longest:
        return DynamicCache()
    like = next(stretches[0] for stretches in rows if stretches)
    cache = []
    for layer, pair in enumerate(like):
        whole = []
        for kind, like_HSK in enumerate(pair):
            heads, _, width = like_HSK.shape
            whole_BHLK = like_HSK.new_empty(len(rows), heads, longest + room, width)
            for row_HLK, stretches in zip(whole_BHLK, rows, strict=True):
                end = longest
                for stretch in reversed(stretches):
                    own_HSK = stretch[layer][kind]
                    start = end - own_HSK.shape[1]
                    row_HLK[:, start:end] = own_HSK
                    end = start
                # what is masked must be a number all the same
                row_HLK[:, :end] = 0
            whole.append(whole_BHLK)
        cache.append((whole[0], whole[1]))
    return laid_out(cache, longest)
