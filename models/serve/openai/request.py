"""Read the body of a chat completion: every field is checked, and none is passed over silently."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.example import PLACEHOLDER, Turn
from models.serve.openai.errors import ApiError, invalid
from models.serve.openai.parts import Upload, read_part

# fields that change nothing here, and those that are fine with these values only
_FREE = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "parallel_tool_calls": (None, True, False),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}
_KEYS = {"model", "messages", "max_tokens", "max_completion_tokens", "stop", "temperature", "top_p", "seed", "stream"}
_KEYS |= {"stream_options"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What to answer and how. turns hold a placeholder for each upload, in order; max_tokens None: the server's own."""

    model: str
    turns: tuple[Turn, ...]
    uploads: tuple[Upload, ...]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stream: bool = False
    usage_chunk: bool = False


def read_request(body: bytes, *, temperature: float = 0.0, system: str = "refuse") -> ChatRequest:
    """Return the request in a body.

    temperature: where none is given. system: "refuse" system messages, or "prefix" the first user text with them.
    Raises ApiError (400) naming the field that is wrong or that this server does not support.
    """
    data = _parsed(body)
    _check_keys(data)
    turns, uploads = _read_messages(data.get("messages"), system)
    stop = data.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops) or len(stops) > 16:
        raise invalid("stop", "expected a string or a list of at most 16 strings, none empty")
    options = data.get("stream_options") or {}
    if not isinstance(options, Mapping) or set(options) - {"include_usage", "include_obfuscation"}:
        raise invalid("stream_options", "expected an object with include_usage")
    most = data.get("max_completion_tokens")
    most = most if most is not None else data.get("max_tokens")
    return ChatRequest(
        model=_string(data.get("model"), "model"),
        turns=turns,
        uploads=uploads,
        max_tokens=None if most is None else int(_number(most, "max_tokens", 1, 1 << 31, whole=True)),
        stop=tuple(stops),
        temperature=_number(_given(data, "temperature", temperature), "temperature", 0, 2),
        top_p=_top_p(_given(data, "top_p", 1.0)),
        seed=int(_number(_given(data, "seed", 0), "seed", -(1 << 63), (1 << 63) - 1, whole=True)),
        stream=_boolean(data, "stream"),
        usage_chunk=_boolean(options, "include_usage"),
    )


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "the body is not valid JSON", code="invalid_json") from error
    if not isinstance(data, dict):
        raise ApiError(400, "the body is no JSON object", code="invalid_json")
    return data


def _check_keys(data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if key in _KEYS or key in _FREE:
            continue
        if key not in _NEUTRAL:
            raise invalid(str(key)[:64], "not a field that this server knows", "unknown_parameter")
        if value not in _NEUTRAL[key]:
            raise invalid(key, "not supported by this server; leave it away", "unsupported_parameter")


def _read_messages(messages: Any, system: str) -> tuple[tuple[Turn, ...], tuple[Upload, ...]]:
    """Return the turns of a conversation, user first and last, and what was uploaded with them."""
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "expected a list of at least one message")
    turns: list[Turn] = []
    uploads: list[Upload] = []
    lead = ""
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, Mapping):
            raise invalid(where, "expected an object with role and content")
        role = message.get("role")
        text, shown = _read_content(message.get("content"), f"{where}.content")
        if role in ("system", "developer"):
            lead = _system(text, shown, where, index, system)
            continue
        if role not in ("user", "assistant"):
            raise invalid(f"{where}.role", "expected system, user or assistant")
        if role != ("user", "assistant")[len(turns) % 2]:
            raise invalid(f"{where}.role", "expected user and assistant in turn, beginning with user")
        if role == "assistant" and shown:
            raise invalid(f"{where}.content", "an assistant's message holds text only")
        turns.append(Turn(role=role, text=f"{lead}{text}"))
        uploads += shown
        lead = ""
    if len(turns) % 2 == 0:
        raise invalid("messages", "expected a last message of the user")
    return tuple(turns), tuple(uploads)


def _system(text: str, shown: list[Upload], where: str, index: int, system: str) -> str:
    if index or shown:
        raise invalid(where, "a system message comes first and holds text only")
    if system == "refuse" and text.strip():
        raise invalid(
            where,
            "this model was trained with one system text, which its template holds; the server's setting system=prefix "
            "puts yours in front of the first user text",
            "unsupported_system",
        )
    return f"{text.strip()}\n\n" if text.strip() else ""


def _read_content(content: Any, where: str) -> tuple[str, list[Upload]]:
    """Return a message's text with a placeholder line for each medium, and the media."""
    if isinstance(content, str):
        _check_text(content, where)
        return content, []
    if not isinstance(content, list) or not content:
        raise invalid(where, "expected text or a list of parts")
    lines: list[str] = []
    uploads: list[Upload] = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        if not isinstance(part, Mapping):
            raise invalid(place, "expected an object with a type")
        if part.get("type") == "text":
            text = _string(part.get("text"), f"{place}.text")
            _check_text(text, place)
            lines.append(text)
        else:
            uploads.append(read_part(part, place))
            lines.append(PLACEHOLDER)
    return "\n".join(lines), uploads


def _check_text(text: str, where: str) -> None:
    if PLACEHOLDER in text:
        raise invalid(where, f"the text holds {PLACEHOLDER}, which stands for a medium; upload one instead")


def _given(data: Mapping[str, Any], key: str, default: float) -> Any:
    value = data.get(key)
    return default if value is None else value


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise invalid(where, "expected a string")
    return value


def _boolean(data: Mapping[str, Any], key: str) -> bool:
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise invalid(key, "expected true or false")
    return bool(value)


def _number(value: Any, where: str, low: float, high: float, whole: bool = False) -> float:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise invalid(where, f"expected {'a whole number' if whole else 'a number'} from {low} to {high}")
    return value


def _top_p(value: Any) -> float:
    found = _number(value, "top_p", 0, 1)
    if found == 0:
        raise invalid("top_p", "expected more than 0 and at most 1")
    return found
