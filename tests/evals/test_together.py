"""Prompts of several settings, answered together: the same texts as alone, fewer positions read."""

import random
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from anyres.geometry import HW
from anyres.grid import GridSpec
from evals.ablation.together import Together
from evals.ablation.trie import agreement, build_trie
from evals.answerer import LmmAnswerer
from evals.media.looking import Looking
from evals.predict import Question, Ready
from models.lmm import LMM
from models.processor import Processor

Tiny = tuple[LMM, Processor]


def page(seed: int, size: tuple[int, int]) -> Image.Image:
    draw = random.Random(seed)
    small = Image.frombytes("RGB", (6, 6), bytes(draw.randrange(256) for _ in range(108)))
    return small.resize(size, Image.Resampling.NEAREST)


def ready_rows(
    tiny: Tiny, grids: list[GridSpec], media: list[tuple[Image.Image, ...]], prompts: list[str]
) -> list[Ready]:
    rows = []
    for grid in grids:
        answerer = LmmAnswerer(*tiny, Looking(*tiny, grid=grid))
        for number, shown in enumerate(media):
            rows += [answerer.prepare(Question(id=f"{number}", prompt=prompt, media=shown)) for prompt in prompts]
    return rows


def grid(*layouts: tuple[int, int], **rest: object) -> GridSpec:
    return GridSpec(layouts=tuple(HW(*layout) for layout in layouts), **rest)


def test_a_trie_reads_what_rows_share_once() -> None:
    rows = [np.array(row) for row in ([1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 9], [7], [1, 2], [7])]
    trie = build_trie(rows)
    # 1 2 | 3 | 4, 5 6 | 9, and 7
    assert trie.positions == 2 + 1 + 1 + 2 + 1 + 1
    for row, leaf in zip(rows, trie.leaf, strict=True):
        found = [code for step in trie.path(leaf) for code in _codes(trie.nodes[step], rows)]
        assert found == row.tolist()


def _codes(node, rows) -> list[int]:
    return rows[node.rows[0]][node.start : node.end].tolist()


def test_a_trie_of_random_rows_equals_brute_force() -> None:
    draw = random.Random(3)
    for _ in range(200):
        rows = [np.array([draw.randrange(3) for _ in range(draw.randrange(7))], dtype=np.int64) for _ in range(6)]
        trie = build_trie(rows)
        begun = {tuple(row[:end].tolist()) for row in rows for end in range(1, len(row) + 1)}
        assert trie.positions == len(begun)
        assert all(trie.nodes[node.parent].end == node.start for node in trie.nodes if node.parent is not None)
    assert agreement(np.array([1, 2, 3]), np.array([1, 2, 4])) == 2


def test_together_answers_what_each_would_alone_and_reads_less(tiny: Tiny) -> None:
    model, processor = tiny
    grids = [grid((1, 1)), grid((2, 2)), grid((2, 2), target_tok=16), grid((1, 2), (2, 1)), GridSpec(layouts=())]
    media = [(page(1, (112, 112)),), (page(2, (120, 50)),), (page(3, (60, 90)), page(4, (56, 56)))]
    rows = ready_rows(tiny, grids, media, ["what ?", "how many red words are there ?", "who ?"])
    together = Together(model, processor)
    found: dict[int, object] = {}
    for some in together.answers(rows, 4):
        found.update(some)
    alone = [LmmAnswerer(model, processor).answer([row], 4)[0] for row in rows]
    assert [found[index].text for index in range(len(rows))] == [answer.text for answer in alone]
    assert [found[index].tokens for index in range(len(rows))] == [answer.tokens for answer in alone]
    assert together.counts.prompts == len(rows)
    assert together.counts.asked == sum(row.tokens for row in rows)
    assert together.counts.read < 0.6 * together.counts.asked


def test_a_small_bound_changes_no_answer(tiny: Tiny) -> None:
    rows = ready_rows(
        tiny, [grid((2, 2)), grid((1, 1))], [(page(1, (112, 112)),), (page(2, (90, 60)),)], ["a ?", "b ?"]
    )
    texts = []
    for positions in (1, 200, 10**6):
        found: dict[int, object] = {}
        for some in Together(*tiny, positions=positions).answers(rows, 3):
            found.update(some)
        texts.append([found[index].text for index in range(len(rows))])
    assert texts[0] == texts[1] == texts[2]


def test_equal_prompts_are_answered_once(tiny: Tiny) -> None:
    # a target that the page does not reach changes nothing
    rows = ready_rows(tiny, [grid((1, 1)), grid((1, 1), target_tok=4000)], [(page(1, (60, 60)),)], ["what ?"])
    together = Together(*tiny)
    (found,) = together.answers(rows, 3)
    assert found[0] == found[1]
    assert (together.counts.prompts, together.counts.answered) == (2, 1)


def test_other_pixels_or_another_order_of_tiles_share_nothing_visual(tiny: Tiny) -> None:
    (row,) = ready_rows(tiny, [grid((2, 2))], [(page(1, (112, 112)),)], ["what ?"])
    flipped = replace(row.payload, pixels_NCHW=row.payload.pixels_NCHW[torch.tensor([0, 2, 1, 3, 4])])
    together = Together(*tiny)
    (found,) = together.answers([row, replace(row, payload=flipped)], 3)
    assert together.counts.answered == 2 and len(found) == 2
    # the overview is shared, the map of 8 rows of 9 is not
    assert together.counts.read >= together.counts.asked - 16 - 8
