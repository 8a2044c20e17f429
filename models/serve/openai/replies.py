"""Answers as OpenAI's interface writes them: one object, or the chunks of a stream."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.serve.ask import Answer

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What all parts of one reply have in common."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return a chat completion."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish(answer)}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(answer)}

    def piece(self, delta: Mapping[str, Any], ended: str | None = None) -> bytes:
        """Return a chunk of a stream with a piece of the answer. ended: the reason, in the last one."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def usage_piece(self, answer: Answer) -> bytes:
        """Return the chunk that tells the tokens."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage(answer)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(data: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return f"data: {json.dumps(data)}\n\n".encode()


def finish(answer: Answer) -> str:
    """Return why an answer ended: "stop" by itself, or "length"."""
    return "length" if answer.cut else "stop"


def usage(answer: Answer) -> dict[str, Any]:
    """Return the tokens read and written; of those read, how many were visual."""
    read = answer.visual + answer.prompt
    return {
        "prompt_tokens": read,
        "completion_tokens": answer.answered,
        "total_tokens": read + answer.answered,
        "prompt_tokens_details": {"visual_tokens": answer.visual, "text_tokens": answer.prompt, "cached_tokens": 0},
    }
