"""Questions and answers about a scene, by task.  Every question has one answer, told by the scene's own boxes."""

from dataclasses import dataclass
from itertools import combinations, pairwise
from random import Random

from models.pocket.items import Item
from models.pocket.scenes import CELL_PX, PAGE_CELLS, Scene
from models.pocket.words import PLACES


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its answer; `task` names the skill it asks for.

    item: index of the scene's item that the answer is read from, -1 where it is not one item.
    """

    task: str
    text: str
    answer: str
    item: int = -1


def place(item: Item) -> str:
    """Return the word for the ninth of the page that an item's raster cell lies in ("top-left", "top", "center")."""
    row, col = item.box.y // CELL_PX, item.box.x // CELL_PX
    return PLACES[row * 3 // PAGE_CELLS * 3 + col * 3 // PAGE_CELLS]


def ask(scene: Scene) -> list[Question]:
    """Return every question that this scene can answer, in a fixed order."""
    if scene.kind in _PAGES:
        return _PAGES[scene.kind](scene)
    return _order(scene, "line" if scene.kind == "list" else "frame")


def pick(scene: Scene, task: str, rng: Random) -> Question:
    """Return one question of `task` at random; a ValueError when the scene has none."""
    fitting = [question for question in ask(scene) if question.task == task]
    if not fitting:
        raise ValueError(f"a scene of kind {scene.kind!r} has no question for task {task!r}")
    return rng.choice(fitting)


def _page(scene: Scene) -> list[Question]:
    questions = []
    for at, item in enumerate(scene.items):
        task = "shape" if item.kind == "shape" else "read"
        questions.append(Question(task=task, text=f"what {item.kind} is {item.color}?", answer=item.name, item=at))
        questions.append(Question(task="color", text=f"what color is {item.name}?", answer=item.color, item=at))
        questions.append(Question(task="position", text=f"where is {item.name}?", answer=place(item), item=at))
    return questions


def _odd(scene: Scene) -> list[Question]:
    common = next(item for item in scene.items if item.name != scene.focus)
    at, lone = next((at, item) for at, item in enumerate(scene.items) if item.name == scene.focus)
    return [
        Question(task="odd", text="what shape is odd?", answer=scene.focus, item=at),
        Question(task="common", text="what shape is common?", answer=common.name),
        Question(task="odd_position", text="where is the odd shape?", answer=place(lone), item=at),
        Question(task="position", text=f"where is {lone.name}?", answer=place(lone), item=at),
    ]


def _count(scene: Scene) -> list[Question]:
    names = sorted({item.name for item in scene.items}, key=lambda name: name != scene.focus)
    counts = [(name, sum(item.name == name for item in scene.items)) for name in names]
    return [Question(task="count", text=f"how many {name} shapes?", answer=str(n)) for name, n in counts]


def _chart(scene: Scene) -> list[Question]:
    values = [(at, item) for at, item in enumerate(scene.items) if item.kind == "number"]
    return [
        Question(task="chart", text=f"what value is {item.color}?", answer=item.name, item=at) for at, item in values
    ]


def _order(scene: Scene, unit: str) -> list[Question]:
    items = scene.items
    last = len(items) - 1
    questions = [
        Question(task="first", text="what is first?", answer=items[0].name, item=0),
        Question(task="last", text="what is last?", answer=items[last].name, item=last),
    ]
    for at, item in enumerate(items):
        questions.append(Question(task="frame", text=f"what is in {unit} {at + 1}?", answer=item.name, item=at))
        questions.append(Question(task="index", text=f"which {unit} has {item.name}?", answer=str(at + 1), item=at))
        questions.append(
            Question(task="retrieval", text=f"what {item.kind} is {item.color}?", answer=item.name, item=at)
        )
        questions.append(Question(task="color", text=f"what color is {item.name}?", answer=item.color, item=at))
    for at, (early, late) in enumerate(pairwise(items)):
        questions.append(Question(task="after", text=f"what is after {early.name}?", answer=late.name, item=at + 1))
        questions.append(Question(task="before", text=f"what is before {late.name}?", answer=early.name, item=at))
    for (at, early), (_, late) in combinations(enumerate(items), 2):
        for a, b in ((early, late), (late, early)):
            text = f"what is first, {a.name} or {b.name}?"
            questions.append(Question(task="order", text=text, answer=early.name, item=at))
    return questions


def _corner(scene: Scene) -> list[Question]:
    return [question for question in _page(scene) if question.task != "position"]


_PAGES = {"page": _page, "corner": _corner, "odd": _odd, "count": _count, "chart": _chart}
