"""The scoring prompt of LLaVA-RLHF: what is put behind a conversation so that its last position tells a score."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.example import PLACEHOLDER, Example, Turn
from models.prompt.template import Template

# where the captions go
FACTS = "{factual_prompt}"
FACTS_HEAD = "Specifically, the AI's response should be fully supported by the combination of the following captions:\n"
_SCORING = (
    "USER: Please evaluate the quality of your last response. There are several dimensions you should consider in your "
    "evaluation:\n\n"
    "1. Accurate: The AI should provide factual and accurate information from the image, and refrain from making "
    "statements that are not supported by the image or inconsistent with the image.{facts}\n"
    "2. Helpful: The AI\u2019s response should precisely serve the user's needs and interests, while grounding the "
    "response in the image.\n"
    "3. Language Natural: The AI should employ language that flows smoothly and is free from repetitive or awkward "
    "constructs.\n"
    "4. Concise: The AI should efficiently address the task or answer the question, communicating the necessary "
    "information with brevity and clarity.\n\n"
    "A good response should be accurate, helpful, language natural, and concise. ASSISTANT: Following your "
    "definitions, the quality score of my last response is"
)
# as released: without captions, and with them (the one that the released reward model was trained with)
PLAIN = _SCORING.replace("{facts}", "")
FACTUAL = _SCORING.replace("{facts}", f" {FACTS}")


def read_prompt(path: Path) -> str:
    """Return a scoring prompt from a text file, stripped; ValueError naming the file when it is empty."""
    text = path.read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{path}: expected a scoring prompt, the file is empty")
    return text


def shuffled(captions: Sequence[str], seed: int | str) -> tuple[str, ...]:
    """Return captions in an order that depends on the seed alone."""
    order = list(captions)
    random.Random(str(seed)).shuffle(order)
    return tuple(order)


def scoring_text(prompt: str, captions: Sequence[str] | None = None) -> str:
    """Return a scoring prompt, the captions in the order given in the place of {factual_prompt}.

    Raises ValueError when the prompt has that place and there are no captions, or the reverse.
    """
    if (FACTS in prompt) != bool(captions):
        place = "has" if FACTS in prompt else "has no"
        raise ValueError(f"scoring prompt {place} {FACTS}, got {len(captions or ())} captions")
    facts = FACTS_HEAD + "".join(f"  - {caption}\n" for caption in captions or ())
    return prompt.replace(FACTS, facts)


def with_scoring(example: Example, scoring: str, template: Template) -> Example:
    """Return a conversation with the scoring text behind its last answer, closed as an answer is.

    The released code writes the conversation, a space and the scoring text, so its turns have no other form here: all
    of it is part of the last answer. Raises ValueError when the conversation does not end with an answer, or a text
    behind the media has a placeholder.
    """
    if not example.turns or example.turns[-1].role != "assistant":
        raise ValueError(f"example {example.id}: a reward is for an answer, so the last turn must be the assistant's")
    answer = example.turns[-1]
    if PLACEHOLDER in answer.text + scoring:
        raise ValueError(f"example {example.id}: {PLACEHOLDER} in the answer or its captions stands for no medium")
    scored = Turn(role="assistant", text=f"{answer.text}{template.answer_close} {scoring}")
    return replace(example, turns=(*example.turns[:-1], scored))
