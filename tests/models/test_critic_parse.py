"""Replies of a critic, adversarial ones among them: what is read, by which rule, and what is refused."""

import re

import pytest

from models.critic.preference import parse_preference
from models.critic.score import parse_score

SCORES = [
    ("85", 85, "bare"),
    (" **85/100** ", 85, "bare"),
    ("85%", 85, "bare"),
    ("Score: 90", 90, "bare"),
    ("[72]", 72, "bare"),
    ("87.5 out of 100.", 87.5, "bare"),
    ("100", 100, "bare"),
    ("0/100", 0, "bare"),
    ("85<|im_end|>", 85, "bare"),
    ("\uff18\uff15", 85, "bare"),
    ("Score: 85\nThe response names the digit seven.", 85, "stated"),
    ("**Score:** 85/100\n\nThe response is right.", 85, "stated"),
    ("The score is 70 because it omits the dog.", 70, "stated"),
    ("I would give the response a score of 60.", 60, "stated"),
    ("I rate the response 45 out of 100, since it is wrong.", 45, "stated"),
    ("I'd give it an 80.", 80, "stated"),
    ("Score (out of 100): 55. It is short.", 55, "stated"),
    ("Score out of 100: 55. It is short.", 55, "stated"),
    ("Rating: [[40]]. It is vague.", 40, "stated"),
    ("The score for this response is 65.", 65, "stated"),
    ("This answer deserves 95/100, as every detail is right.", 95, "stated"),
    ("92\n\nThe response describes all three cats.", 92, "line"),
    ("It is accurate.\n88/100", 88, "out_of_100"),
    ("Accuracy: 90/100. Clarity: 70/100. Overall score: 80/100", 80, "final"),
    ("Score: 20. Hmm, wait. Final score: 25", 25, "final"),
    ("There are 12 birds and 3 cats in 1,000 pixels, score: 35", 35, "stated"),
    ("Not a score of 90. The score is 40.", 40, "stated"),
    ("A perfect score of 100 needs more detail. Score: 75", 75, "stated"),
    ("It would have had a score of 95 with the right count. Score: 30", 30, "stated"),
    ("If it were complete, the score would be 95.\nScore: 50", 50, "stated"),
    ("Score: 85. I repeat: 85/100.", 85, "stated"),
    ("The response scores 66.", 66, "stated"),
    # refused
    ("It scores 3 goals.", None, "none"),
    ("Score: 70 or 80", None, "ambiguous"),
    ("", None, "none"),
    ("The response is excellent.", None, "none"),
    ("The answer lists 5 objects and 100 details.", None, "none"),
    ("Score:", None, "none"),
    ("A perfect score of 100 would need more.", None, "none"),
    ("I would not give it a score of 90.", None, "none"),
    ("Score: 80-85", None, "ambiguous"),
    ("80 to 85", None, "ambiguous"),
    ("A score between 70 and 80.", None, "ambiguous"),
    ("Score: 70\nScore: 90", None, "ambiguous"),
    ("Accuracy: 90/100, clarity: 70/100", None, "ambiguous"),
    ("Score: 85. On reflection, 60/100.", None, "ambiguous"),
    ("Score: 8/10", None, "other_scale"),
    ("4 out of 5", None, "other_scale"),
    ("Score: 0.85", None, "other_scale"),
    ("Score: 150", None, "out_of_range"),
    ("-5", None, "out_of_range"),
    ("Score: -5/100", None, "out_of_range"),
    ("1.\nThe response", None, "none"),
    ("eighty-five", None, "none"),
    ("Published in 2023, this answer cites 2 papers.", None, "none"),
]

PREFERENCES = [
    ("first", "first", "bare"),
    ("The second response.", "second", "bare"),
    ("Response 2", "second", "bare"),
    ("[[A]]", "first", "bare"),
    ("B", "second", "bare"),
    ("Tie", "tie", "bare"),
    ("The first response is better.", "first", "stated"),
    ("**The second response is better** because it names the digit.", "second", "stated"),
    ("The second response is clearly superior to the first response.", "second", "stated"),
    ("Response 1 is better than Response 2.", "first", "stated"),
    ("The better answer is the second one.", "second", "stated"),
    ("The first answer is worse.", "second", "stated"),
    ("The second is not as good as the first.", "first", "stated"),
    ("I prefer the first response.", "first", "stated"),
    ("It is inferior to the second response.", "second", "stated"),
    ("Winner: Response B", "second", "stated"),
    ("Both responses are equally good.", "tie", "stated"),
    ("Neither response is better.", "tie", "stated"),
    ("It is a tie.", "tie", "stated"),
    ("The second response (which is longer) is the better one.", "second", "stated"),
    ("The first response is better in terms of detail.", "first", "aspect"),
    (
        "The first response is better in terms of detail. Overall, the second response is better.",
        "second",
        "conclusion",
    ),
    ("The second does not name the dog, so the first response is better.", "first", "stated"),
    ("Is the first response better? No. The second response is better.", "second", "stated"),
    ("The first response is good. Therefore, the second response is better overall.", "second", "conclusion"),
    ("In conclusion, they are equally good.", "tie", "conclusion"),
    ("The first response is better at counting. The second response is better.", "second", "stated"),
    # refused
    ("", None, "none"),
    ("Both responses describe the image.", None, "none"),
    ("The first response mentions a tie that he wears.", None, "none"),
    ("The first response is not better.", None, "none"),
    ("The second response is no better than the first.", None, "none"),
    ("They are not equally good.", None, "none"),
    ("Which response is better, the first or the second?", None, "none"),
    ("The first response would be better if it were longer.", None, "none"),
    ("I do not prefer the first response.", None, "none"),
    ("It is hard to say whether the first response is better.", None, "none"),
    ("The first response is better. The second response is better.", None, "ambiguous"),
    ("Therefore the first is better. Overall, the second is better.", None, "ambiguous"),
    ("Both are equally good, but the first response is better.", None, "ambiguous"),
    ("Answer a question first.", None, "none"),
    ("first second", None, "none"),
    ("A better answer is possible.", None, "none"),
]


@pytest.mark.parametrize(("text", "value", "rule"), SCORES)
def test_score(text, value, rule):
    found = parse_score(text)
    assert (found.value, found.rule) == (value, rule)


@pytest.mark.parametrize(("text", "choice", "rule"), PREFERENCES)
def test_preference(text, choice, rule):
    found = parse_preference(text)
    assert (found.choice, found.rule) == (choice, rule)


@pytest.mark.parametrize(("text", "choice", "rule"), [one for one in PREFERENCES if one[1] in ("first", "second")])
def test_swapped_names_swap_the_preference(text, choice, rule):
    """No name is favoured: the same reply with the two names exchanged says the opposite."""
    table = {"first": "second", "second": "first", "First": "Second", "Second": "First"}
    words = ["first", "second", "1", "2", "A", "B"]
    table |= {"1": "2", "2": "1", "A": "B", "B": "A"}
    swapped = re.sub(r"\b(" + "|".join(words) + r")\b", lambda match: table[match[0]], text)
    found = parse_preference(swapped)
    assert (found.choice, found.rule) == (table[choice], rule)
