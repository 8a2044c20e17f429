"""The closed vocabulary of the pocket model: what it can name, and the words of its questions.  Pure.

Content words (shapes, words, numbers) are one token each: reading here means telling one of 64 short words or 90
two-digit numbers from their pixels, not spelling words never seen.
"""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "orange": (245, 140, 0),
    "green": (0, 150, 50),
    "blue": (30, 80, 230),
    "purple": (140, 40, 190),
    "cyan": (0, 185, 205),
    "pink": (250, 110, 180),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart", "moon", "arrow")
# fmt: off
LEXICON = (
    "cat", "dog", "cow", "pig", "hen", "fox", "bat", "owl", "bee", "ant", "sun", "sky", "sea", "ice", "hat", "cup",
    "box", "bag", "pen", "key", "car", "bus", "jet", "van", "map", "egg", "jam", "pie", "tea", "nut", "oak", "ivy",
    "rod", "net", "log", "hut", "bed", "lid", "fan", "jar", "mud", "gem", "ink", "wax", "fish", "bird", "tree",
    "leaf", "rain", "snow", "lamp", "door", "book", "ship", "road", "gold", "salt", "milk", "corn", "rope", "drum",
    "flag", "park", "desk",
)
# fmt: on
NUMBERS = tuple(str(n) for n in range(10, 100))
DIGITS = tuple(str(n) for n in range(10))
BAR = "bar"
NOTHING = "nothing"
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")
# the nine places of a page, one word each: row by row, left to right
PLACES = ("top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right")
# fmt: off
FUNCTION_WORDS = (
    "what", "which", "where", "how", "many", "is", "in", "the", "a", "of", "are", "has", "or", "and", "shape",
    "shapes", "word", "number", "value", "color", "odd", "common", "first", "last", "after", "before", "frame",
    "line", "yes", "no", "describe", "image", "picture", "video", "show", "there", ",", "?", ".", ":",
)
# fmt: on
SPECIALS = ("<pad>", "<end>", "<unk>", "<image>", "<user>", "<assistant>")

CONTENT = (NOTHING, BAR, *SHAPES, *LEXICON, *NUMBERS)
_CORNERS = tuple(place for place in PLACES if "-" in place)
VOCABULARY = (*SPECIALS, *COLORS, *CONTENT, *DIGITS, *ROWS, *COLUMNS, *FUNCTION_WORDS, *_CORNERS)
KIND_OF: dict[str, str] = {
    **dict.fromkeys(SHAPES, "shape"),
    **dict.fromkeys(LEXICON, "word"),
    **dict.fromkeys(NUMBERS, "number"),
}
