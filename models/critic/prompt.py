"""The two prompts of LLaVA-Critic, as its release gives them."""

from models.example import PLACEHOLDER

# the release's most new tokens
MAX_NEW_TOKENS = 4096

_JUDGE = (
    "Given an image and a corresponding question, please serve as an unbiased and fair judge to evaluate the quality "
)
_TASK = "explain your reasoning with specific details. Your task is provided as follows:\n"
# "answer answers" and the last space are in the original
_POINTWISE = (
    f"{_JUDGE}of answer answers provided by a Large Multimodal Model (LMM). Score the response out of 100 and {_TASK}"
    "Question: [{question}]\nThe LMM response: [{answer}]\nASSISTANT:\n "
)
_PAIRWISE = (
    f"{_JUDGE}of the answers provided by a Large Multimodal Model (LMM). Determine which answer is better and {_TASK}"
    "Question: [{question}]\nThe first response: [{first}]\nThe second response: [{second}]\nASSISTANT:\n"
)


def pointwise(question: str, answer: str) -> str:
    """Return the prompt that asks for a score out of 100, without the medium; ValueError for a text with "<image>"."""
    _check(question, answer)
    return _POINTWISE.format(question=question, answer=answer)


def pairwise(question: str, first: str, second: str) -> str:
    """Return the prompt that asks which answer is better, without the medium; ValueError for a text with "<image>"."""
    _check(question, first, second)
    return _PAIRWISE.format(question=question, first=first, second=second)


def _check(*texts: str) -> None:
    for text in texts:
        if PLACEHOLDER in text:
            raise ValueError(f"{PLACEHOLDER} in {text[:60]!r} stands for no medium: the critic's prompt has its own")
