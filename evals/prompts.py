"""The exact words of a question. Each form has a name with a version: a changed word is a new version."""

from conf.nearest import expected
from evals.sample import LABELS

OPEN = "open@v1"
SHORT = "short@v1"
LETTER = "letter@v1"
LISTED = "listed@v1"
WORD = "word@v1"
DIRECT = "direct@v1"

# what stands after the question (and its options)
ENDINGS = {
    OPEN: "",
    SHORT: "\nAnswer the question using a single word or phrase.",
    LETTER: "\nAnswer with the option's letter from the given choices directly.",
    LISTED: "",
    WORD: "\nAnswer the question with a single word.",
    DIRECT: "\nAnswer the option letter directly.",
}


def ask(form: str, question: str, options: tuple[str, ...] = ()) -> str:
    """Return the user's turn: the question, one line "A. ..." per option, and the ending of `form`."""
    if form not in ENDINGS:
        raise ValueError(f"prompt form {form!r}: {expected(form, sorted(ENDINGS))}")
    lines = [question, *(f"{label}. {option}" for label, option in zip(LABELS, options, strict=False))]
    return "\n".join(lines) + ENDINGS[form]
