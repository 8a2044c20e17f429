"""Ask a critic about one answer (a score) or two (which is better), and read its reply."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.critic.preference import Preference, parse_preference
from models.critic.prompt import MAX_NEW_TOKENS, pairwise, pointwise
from models.critic.score import Score, parse_score
from models.lmm import LMM
from models.processor import Processor
from models.serve.ask import Session

if TYPE_CHECKING:
    from models.example import Medium


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A critic's text, and whether the limit cut it off."""

    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A reply and what was read in it: a score for one answer, a preference for two; the other one is None."""

    reply: Reply
    score: Score | None = None
    preference: Preference | None = None


# from a prompt, without the medium's placeholder, to the reply
Ask = Callable[[str], Reply]


def judge(
    model: LMM,
    processor: Processor,
    image: "Medium",
    question: str,
    answers: Sequence[str],
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Judgement:
    """Return a critic's judgement of one answer to a question about an image, or of two compared.

    The reply is greedy, by the model's own template (qwen_1_5 for the released critic). Raises ValueError for another
    number of answers, or a prompt that does not fit the context.
    """
    return judge_by(critic(model, processor, image, max_new_tokens), question, answers)


def critic(model: LMM, processor: Processor, image: "Medium", max_new_tokens: int = MAX_NEW_TOKENS) -> Ask:
    """Return what asks a critic about an image, again and again; the image is encoded once."""
    session = Session(
        model=model, processor=processor, media=(image,), max_new_tokens=max_new_tokens, temperature=0.0, history=False
    )

    def ask(prompt: str) -> Reply:
        answer = session.ask(prompt)
        return Reply(text=answer.text, cut=answer.cut)

    return ask


def judge_by(ask: Ask, question: str, answers: Sequence[str]) -> Judgement:
    """Return the judgement of one or two answers by any critic. Raises ValueError for another number of them."""
    if len(answers) == 1:
        reply = ask(pointwise(question, answers[0]))
        return Judgement(reply=reply, score=parse_score(reply.text))
    if len(answers) == 2:
        reply = ask(pairwise(question, answers[0], answers[1]))
        return Judgement(reply=reply, preference=parse_preference(reply.text))
    raise ValueError(f"judge: expected one answer to score or two to compare, got {len(answers)}")
