"""Lists written as text are read as Python would read them, by rules of our own: nothing is evaluated."""

import ast
import random

import pytest

from evals.tasks.quoted import quoted_list


def test_what_python_writes() -> None:
    draw = random.Random(5)
    signs = "ab '\"\\,[]()\n\t\r\x00\x1f\x7f\xe9\u2028\u4e2d\U0001f600${}%"
    for _ in range(5000):
        items = ["".join(draw.choices(signs, k=draw.randrange(8))) for _ in range(draw.randrange(6))]
        assert quoted_list(repr(items)) == tuple(items)
        assert quoted_list(f"  {items!r:}  ") == tuple(items)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[]", ()),
        ("['$6', \"$7\", ]", ("$6", "$7")),
        (r"['\\frac{1}{2}', '\x41\u00e9\101\q']", ("\\frac{1}{2}", "A\xe9A\\q")),
        ("[1, 2.5, -3, 1e-05]", ("1", "2.5", "-3", "1e-05")),
        ("[u'a',\n 'b']", ("a", "b")),
    ],
)
def test_what_files_have(text: str, items: tuple[str, ...]) -> None:
    assert quoted_list(text) == items
    if "1e" not in text and "\\q" not in text:
        assert tuple(str(value) for value in ast.literal_eval(text)) == items


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "['a'", "['a' 'b']", "[a]", "['a', b]", "('a',)", "{'a': 1}", "['a'] + ['b']", "[['a']]", "['a'], 1",
        "[__import__('os')]", "['a'.upper()]", "[open('x')]", "['a', 1 + 1]", "['\\x4']", "['\\N{BULLET}']", "['a]",
        "[,]", "['a',, 'b']", "[b'a']", "[f'{1}']", "[r'a']", "[" * 100_000, "['" + "\\" * 100_001,
    ],
)  # fmt: skip
def test_what_is_no_list_of_texts(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|not whole"):
        quoted_list(text)
