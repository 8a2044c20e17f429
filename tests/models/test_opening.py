"""Words that an answer begins with stand behind the generation prompt, where the answer's text would begin."""

import pytest

from models.example import Turn
from models.prompt.templates import TEMPLATES

ASK = (Turn(role="user", text="which one?"),)


@pytest.mark.parametrize("name", sorted(name for name, one in TEMPLATES.items() if not one.media_only))
def test_the_opening_is_the_beginning_of_the_answer(name: str) -> None:
    template = TEMPLATES[name]
    opened = template.render(ASK, True, "Best option: (").text
    answered = template.render((*ASK, Turn(role="assistant", text="Best option: (B)")), False).text
    assert answered.startswith(opened)
    assert opened.endswith("Best option: (")
    assert template.render(ASK, True, "") == template.render(ASK, True)


def test_an_opening_needs_an_answer_to_open() -> None:
    turns = (*ASK, Turn(role="assistant", text="B"))
    with pytest.raises(ValueError, match="opens an answer"):
        TEMPLATES["pocket"].render(turns, False, "(")
