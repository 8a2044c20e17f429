"""Which tokens of a prompt are learned: the answers and their ends, or what the released training code learns.

The released masks differ by template. They are kept as data: whether an answer's opening is learned, tokens and strings
that are learned wherever they stand, and how a conversation is cut into rounds that must add up.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from models.prompt.template import Rendered, Span, Template

Labels = Literal["answers", "released", "released_old"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What is learned beside each answer and the marker that ends it.

    opening: the strings that make the model answer are learned too. tokens: each a single token, learned wherever it
    stands, in user turns as well. strings: learned wherever they stand. round_end, answer_sep: the text is cut at each
    round_end, and unless each round has answer_sep exactly once, nothing of the sample is learned.
    """

    opening: bool = False
    tokens: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    round_end: str = ""
    answer_sep: str = ""


_CHATML_ENDS = ("<|im_start|>", "<|im_end|>\n")
_QWEN = Mask(opening=True, tokens=("<|im_start|>", "<|im_end|>", "\n"))
_LLAMA_3 = Mask(opening=True, tokens=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"))
_TWO = Mask(round_end="</s>", answer_sep=" ASSISTANT: ")
_INST = Mask(round_end="</s>", answer_sep="[/INST] ")

RELEASED: dict[str, Mask] = {
    **dict.fromkeys(("qwen_1_5", "qwen_2", "qwen_2_5"), _QWEN),
    **dict.fromkeys(("vicuna_v1", "llava_v1"), _TWO),
    **dict.fromkeys(("llava_llama_2", "mistral_instruct"), _INST),
    **dict.fromkeys(("mpt", "chatml_direct", "mistral_direct", "mistral_orca", "gemma_instruct", "plain"), Mask()),
    "llava_llama_3": _LLAMA_3,
}

# the masks of the preference training, which kept an older rule
RELEASED_OLD: dict[str, Mask] = {
    **RELEASED,
    **dict.fromkeys(("qwen_1_5", "qwen_2", "qwen_2_5"), Mask(strings=_CHATML_ENDS)),
}


def mask(labels: Labels, template: str) -> Mask:
    """Return the mask of a template; ValueError naming it when the released one is not known."""
    if labels == "answers":
        return Mask()
    known = RELEASED if labels == "released" else RELEASED_OLD
    if template not in known:
        raise ValueError(f"labels={labels}: known for {', '.join(sorted(known))}, not for the template {template!r}")
    return known[template]


def learn(rendered: Rendered, template: Template, chosen: Mask) -> Rendered:
    """Return a rendered prompt whose trained spans are those of a mask; its tokens are left to `learned_ids`."""
    if not _adds_up(rendered.text, chosen):
        return replace(rendered, trained=())
    opening = len(template.prompt) if chosen.opening else 0
    answers = [Span(span.start - opening, span.stop) for span in rendered.trained]
    return replace(rendered, trained=(*answers, *_found(rendered.text, chosen.strings)))


def learned_ids(chosen: Mask, encode: Callable[[str], list[int]]) -> frozenset[int]:
    """Return the ids learned wherever they stand; ValueError naming a string that is not a single token."""
    encoded = {text: encode(text) for text in chosen.tokens}
    for text, ids in encoded.items():
        if len(ids) != 1:
            raise ValueError(f"labels: expected {text!r} to be a single token of the tokenizer, got ids {ids}")
    return frozenset(ids[0] for ids in encoded.values())


def _adds_up(text: str, chosen: Mask) -> bool:
    if not chosen.round_end:
        return True
    rounds = [part for part in text.split(chosen.round_end) if part]
    return all(part.count(chosen.answer_sep) == 1 for part in rounds)


def _found(text: str, strings: tuple[str, ...]) -> list[Span]:
    spans = []
    for string in strings:
        start = text.find(string)
        while start >= 0:
            spans.append(Span(start, start + len(string)))
            start = text.find(string, start + len(string))
    return spans
