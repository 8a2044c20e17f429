"""Training data of the pocket model: step -> batch, drawn on the fly from the seed.  Images only, no video.

A batch holds one kind of scene under one grid, so its plans are equal and little is padded.  Pages are seen at 1x1,
2x2 and 3x3, with and without the overview, and sometimes shrunk to a token target; strips are columns of frames, one
tile each, which a clip's frames will look like.  Several questions about one image share its tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from random import Random

import numpy as np
import torch
from torch import Tensor

from anyres.geometry import HW, Box
from anyres.grid import GridSpec, TileSpec
from anyres.lower import lower
from anyres.pixels import normalise, render_uint8
from anyres.plan import VisualPlan, plan_image
from kernels.pack.table import PackTable
from models.batch import Batch
from models.pocket import scenes
from models.pocket.items import TRAIN_FONTS
from models.pocket.questions import Question, ask
from models.pocket.scenes import FRAME_PX, Scene
from models.pocket.tiles import PATCH_PX, labelled_tiles
from models.pocket.tokenizer import build_tokenizer
from models.pocket.words import COLUMNS, ROWS, SPECIALS, VOCABULARY

TILE = TileSpec.of(FRAME_PX, PATCH_PX)
MEAN = STD = (0.5, 0.5, 0.5)
_ID = {word: index for index, word in enumerate(VOCABULARY)}
_PAD, _END, _, _IMAGE, _USER, _ASSISTANT = range(len(SPECIALS))
PAGES: tuple[tuple[Callable[[Random, str], Scene], int], ...] = (
    (scenes.page, 5), (scenes.odd, 2), (scenes.counting, 1), (scenes.chart, 2), (scenes.listing, 2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way a batch's images are drawn and planned, and how often.

    A page under `grid` (0, 0: the overview alone), with or without the overview; with frames (a, b) above 0 a strip of a
    to b frames, with (0, 0) a page; `corner`: one tile of a page. targets: token targets of the detail map, one drawn
    per batch; empty for none.
    """

    weight: float
    grid: tuple[int, int] = (0, 0)
    overview: bool = True
    frames: tuple[int, int] = (0, 0)
    targets: tuple[int, ...] = ()
    corner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A training mix: views, weights of the tasks asked, and how many questions share an image at most.

    together: share of batches in which the questions of an image are the turns of one conversation; in the others each
    sees the image and itself alone, at the positions it would have as the only question.
    """

    views: tuple[View, ...]
    tasks: dict[str, float] = field(default_factory=dict)
    questions: int = 8
    together: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchBatch:
    """Stage V's batch: pixels [N, 3, 56, 56] normalised, content [N, P, V] and color [N, P, K] label shares."""

    pixels_NCHW: Tensor
    content_NPV: Tensor
    color_NPK: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedBatch:
    """An answers batch with what its teachers know.

    row_T, column_T: place of an image's visual tokens in their segment, -1 for end vectors; detail_T: whether it is a
    detail token; first_visual: the position of an image's first token, the same in every sample. pointer_K4: for each
    question about one item, where the answer begins (sample, position) and where the item lies (row, column).
    words_T3: at each visual token the ids of the words for its third of the page, row and column, and for its frame of a
    strip; -1 where there is none. previous_K3: for each item of a list or strip but the first, sample and position of
    the token at its centre, and the id of the item before it. positions_BL: rotary positions; blocks_BL: 0 for what every question sees, k for the k-th question, -1 for padding,
    or all 0 for a conversation.
    """

    batch: Batch
    row_T: Tensor
    column_T: Tensor
    detail_T: Tensor
    first_visual: int
    pointer_K4: Tensor
    words_T3: Tensor
    previous_K3: Tensor
    positions_BL: Tensor
    blocks_BL: Tensor


def patch_source(seed: int, tiles: int) -> Callable[[int], PatchBatch]:
    """Return the data of stage V: `tiles` labelled tiles a step."""

    def batch(step: int) -> PatchBatch:
        drawn = labelled_tiles(Random(f"train/patch/{seed}/{step}"), tiles)
        pixels = torch.from_numpy(drawn.pixels_NHWC.transpose(0, 3, 1, 2).copy())
        return PatchBatch(
            pixels_NCHW=normalise(pixels, MEAN, STD),
            content_NPV=torch.from_numpy(drawn.content_NPV),
            color_NPK=torch.from_numpy(drawn.color_NPK),
        )

    return batch


def answer_source(mix: Mix, seed: int, batch_tokens: int, space: str = "train") -> Callable[[int], PlacedBatch]:
    """Return the data of the answer stages: batches of at most about `batch_tokens` positions."""

    def batch(step: int) -> PlacedBatch:
        rng = Random(f"{space}/answers/{seed}/{step}")
        (view,) = rng.choices(mix.views, [view.weight for view in mix.views])
        frames = rng.randint(*view.frames) if view.frames[1] else 0
        target = rng.choice(view.targets) if view.targets else None
        plan = view_plan(image_size(view, frames), view, target)
        count = max(1, batch_tokens // (plan.num_tokens + 8 * mix.questions))
        drawn = [draw(rng, view, frames) for _ in range(count)]
        asked = [choose(rng, ask(scene), mix) for scene in drawn]
        return collate(plan, drawn, asked, together=rng.random() < mix.together)

    return batch


def image_size(view: View, frames: int) -> HW:
    """Return the pixels of a view's images."""
    if view.corner:
        return HW(FRAME_PX, FRAME_PX)
    return HW(FRAME_PX * frames, FRAME_PX) if frames else HW(scenes.PAGE_PX, scenes.PAGE_PX)


def draw(rng: Random, view: View, frames: int) -> Scene:
    """Return a view's scene: a corner, a strip of `frames` frames, or a page of a random kind."""
    font = rng.choice(TRAIN_FONTS)
    if view.corner:
        return scenes.corner(rng, font)
    if frames:
        return scenes.strip(rng, font, frames)
    (kind,) = rng.choices([kind for kind, _ in PAGES], [weight for _, weight in PAGES])
    return kind(rng, font)


def choose(rng: Random, questions: Sequence[Question], mix: Mix) -> list[Question]:
    """Return up to mix.questions different questions, tasks drawn by weight first, then a question of the task."""
    by_task: dict[str, list[Question]] = {}
    for question in questions:
        by_task.setdefault(question.task, []).append(question)
    chosen: list[Question] = []
    while by_task and len(chosen) < mix.questions:
        tasks = list(by_task)
        (task,) = rng.choices(tasks, [mix.tasks.get(name, 1.0) for name in tasks])
        pool = by_task[task]
        chosen.append(pool.pop(rng.randrange(len(pool))))
        if not pool:
            del by_task[task]
    return chosen


def collate(
    plan: VisualPlan, drawn: Sequence[Scene], asked: Sequence[Sequence[Question]], together: bool = False
) -> PlacedBatch:
    """Return the batch of scenes that share a plan, each with its questions and answers, padded on the right."""
    count, visual = len(drawn), plan.num_tokens
    tiles = torch.cat([render_uint8(plan, [scene.pixels_HW3], (127, 127, 127)) for scene in drawn])
    texts = [_text(questions, together) for questions in asked]
    length = 1 + visual + max(len(text.ids) for text in texts)
    ids_BL = np.full((count, length), _PAD, dtype=np.int64)
    labels_BL = np.full((count, length), -100, dtype=np.int64)
    attention_BL = np.zeros((count, length), dtype=np.int64)
    visual_BL = np.full((count, length), -1, dtype=np.int64)
    positions_BL = np.tile(np.arange(length), (count, 1))
    blocks_BL = np.zeros((count, length), dtype=np.int64)
    ids_BL[:, 0], ids_BL[:, 1 : 1 + visual] = _USER, _IMAGE
    visual_BL[:, 1 : 1 + visual] = np.arange(count * visual).reshape(count, visual)
    for row, text in enumerate(texts):
        end = 1 + visual + len(text.ids)
        ids_BL[row, 1 + visual : end], labels_BL[row, 1 + visual : end] = text.ids, text.labels
        positions_BL[row, 1 + visual : end] = np.asarray(text.offsets) + 1 + visual
        blocks_BL[row, 1 + visual : end] = text.blocks
        blocks_BL[row, end:] = -1
        attention_BL[row, :end] = 1
    row_T, column_T, detail_T = places(plan)
    pointers = [
        (row, 1 + visual + at, *_token_of(plan, scene, scene.items[item].box))
        for row, (scene, text) in enumerate(zip(drawn, texts, strict=True))
        for at, item in text.pointers
        if plan.segments[-1].end == "row"
    ]
    batch = Batch(
        pixels_NCHW=normalise(tiles, MEAN, STD),
        table=_table(plan, count),
        ids_BL=torch.from_numpy(ids_BL),
        visual_BL=torch.from_numpy(visual_BL),
        labels_BL=torch.from_numpy(labels_BL),
        attention_BL=torch.from_numpy(attention_BL),
    )
    return PlacedBatch(
        batch=batch,
        row_T=row_T,
        column_T=column_T,
        detail_T=detail_T,
        first_visual=1,
        pointer_K4=torch.tensor(pointers, dtype=torch.long).reshape(-1, 4),
        words_T3=place_words(plan, drawn[0].kind),
        previous_K3=torch.tensor(_previous(plan, drawn), dtype=torch.long).reshape(-1, 3),
        positions_BL=torch.from_numpy(positions_BL),
        blocks_BL=torch.from_numpy(blocks_BL),
    )


@lru_cache(maxsize=None)
def view_plan(size: HW, view: View, target: int | None) -> VisualPlan:
    """Return the plan of every image of a batch."""
    overview = "squash" if view.overview else "none"
    if view.frames[1] or view.corner:
        grid = GridSpec(layouts=(HW(size.h // FRAME_PX, 1),), overview="none")
    elif view.grid == (0, 0):
        grid = GridSpec(overview=overview)
    else:
        grid = GridSpec(layouts=(HW(*view.grid),), overview=overview, target_tok=target, slack=1.0)
    return plan_image(size, grid, TILE)


@lru_cache(maxsize=None)
def places(plan: VisualPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Return row and column of each visual token in its segment, -1 for end vectors, and whether it is a detail token."""
    rows, columns, detail = [], [], []
    for segment in plan.segments:
        is_detail = segment.end == "row"
        for row in range(segment.out.h):
            for column in range(segment.out.w):
                rows.append(row)
                columns.append(column)
                detail.append(is_detail)
            if segment.end == "row":
                rows.append(-1)
                columns.append(-1)
                detail.append(is_detail)
        if segment.end == "segment":
            rows.append(-1)
            columns.append(-1)
            detail.append(is_detail)
    return torch.tensor(rows), torch.tensor(columns), torch.tensor(detail)


@lru_cache(maxsize=None)
def place_words(plan: VisualPlan, kind: str) -> Tensor:
    """Return the ids [T, 3] of the row word, column word and frame number at each detail token of a kind of scene."""
    out = plan.segments[-1].out
    words = torch.full((plan.num_tokens, 3), -1)
    row_T, column_T, detail_T = places(plan)
    for token in torch.nonzero(detail_T & (row_T >= 0)).flatten().tolist():
        row, column = int(row_T[token]), int(column_T[token])
        if kind == "strip":
            words[token, 2] = _ID[str(row // TILE.tok + 1)]
        elif kind != "corner":
            words[token, 0] = _ID[ROWS[int((row + 0.5) * 3 / out.h)]]
            words[token, 1] = _ID[COLUMNS[int((column + 0.5) * 3 / out.w)]]
    return words


def _previous(plan: VisualPlan, drawn: Sequence[Scene]) -> list[tuple[int, int, int]]:
    """Return sample, position and name before, for each item but the first of lists and strips."""
    found = []
    detail = plan.segments[-1]
    if detail.end != "row":
        return []
    first = 1 + plan.num_tokens - detail.num_tokens
    for sample, scene in enumerate(drawn):
        if scene.kind in ("list", "strip"):
            for before, item in pairwise(scene.items):
                row, column = _token_of(plan, scene, item.box)
                found.append((sample, first + row * (detail.out.w + 1) + column, _ID[before.name]))
    return found


@lru_cache(maxsize=64)
def _table(plan: VisualPlan, count: int) -> PackTable:
    return lower([plan] * count).prepare(backward=True)


_TOKENIZER = build_tokenizer()


@lru_cache(maxsize=100_000)
def _encode(text: str) -> tuple[int, ...]:
    return tuple(_TOKENIZER.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """What follows the image. offsets: positions from the first token on; blocks: which question a token belongs to, 0
    in a conversation; pointers: (place of an <assistant>, item that its answer is read from)."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    pointers: list[tuple[int, int]] = field(default_factory=list)


def _text(questions: Sequence[Question], together: bool) -> _Text:
    """Return the text after the image; the first turn's <user> stands before the image."""
    text = _Text()
    for index, question in enumerate(questions):
        user = (_USER,) if together and index else ()
        asked = (*user, *_encode(question.text), _ASSISTANT)
        answer = (*_encode(question.answer), _END)
        first = len(text.ids) if together else 0
        text.offsets.extend(range(first, first + len(asked) + len(answer)))
        text.blocks.extend([0 if together else index + 1] * (len(asked) + len(answer)))
        text.ids.extend((*asked, *answer))
        text.labels.extend([-100] * len(asked) + list(answer))
        if question.item >= 0:
            text.pointers.append((len(text.ids) - len(answer) - 1, question.item))
    return text


def _token_of(plan: VisualPlan, scene: Scene, box: Box) -> tuple[int, int]:
    """Return row and column, in the detail map, of the token at a box's centre."""
    out, (height, width) = plan.segments[-1].out, scene.pixels_HW3.shape[:2]
    return int((box.y + box.h / 2) / height * out.h), int((box.x + box.w / 2) / width * out.w)
