"""One thread that answers requests with the model, one after the other: answers do not depend on what else is asked.

What the last media looked like to the encoder is kept, so that many questions about one picture or clip encode it once.
The language model reads every prompt from its beginning: an answer is the same whatever was asked before.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from torch import OutOfMemoryError

from models.lmm import LMM
from models.processor import Processor
from models.serve.ask import Answer, Look, Session
from models.serve.memory import Memory
from models.serve.openai.errors import ApiError
from models.serve.openai.request import ChatRequest

if TYPE_CHECKING:
    from models.example import Medium


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """Decoded media. key: a digest of what was uploaded, "" for none."""

    key: str
    media: "tuple[Medium, ...]"


class Engine:
    """A model that answers.

    max_tokens: of an answer when the request does not say how many; most_tokens: that it may ask for.
    """

    def __init__(
        self, model: LMM, processor: Processor, *, look: Look, max_tokens: int = 256, most_tokens: int = 4096
    ) -> None:
        self.model, self.processor, self.look = model, processor, look
        self.max_tokens, self.most_tokens = max_tokens, most_tokens
        tokens = processor.tokenizer.get_added_tokens_decoder().values()
        self._special = tuple(token.content for token in tokens if token.special)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._last: tuple[Shown, Memory] | None = None
        self._closed = Event()

    def known(self, key: str) -> Shown | None:
        """Return the media of the last request, decoded, if they were the same."""
        last = self._last
        return last[0] if last is not None and key and last[0].key == key else None

    def check(self, request: ChatRequest) -> None:
        """Raise ApiError for texts that would be read as markers of the prompt, and for too many tokens."""
        for turn in request.turns:
            for marker in self._special:
                if marker in turn.text.replace("<image>", ""):
                    raise ApiError(400, f"messages: the text holds {marker}, a marker of this model's prompts")
        if request.max_tokens is not None and request.max_tokens > self.most_tokens:
            raise ApiError(400, f"max_tokens: at most {self.most_tokens} on this server", param="max_tokens")

    def submit(
        self, request: ChatRequest, shown: Shown, emit: Callable[[str], None], cancelled: Event
    ) -> "Future[Answer]":
        """Return the answer to come; `emit` gets its pieces in the model's thread. Ends early once `cancelled`."""
        return self._thread.submit(self._answer, request, shown, emit, cancelled)

    def close(self) -> None:
        """End the answer that is being written, drop those that wait, and wait for the thread."""
        self._closed.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _answer(self, request: ChatRequest, shown: Shown, emit: Callable[[str], None], cancelled: Event) -> Answer:
        def watch() -> None:
            if cancelled.is_set() or self._closed.is_set():
                raise Cancelled

        watch()
        last = self._last
        session = Session(
            model=self.model,
            processor=self.processor,
            media=shown.media,
            look=self.look,
            max_new_tokens=request.max_tokens or self.max_tokens,
            temperature=float(request.temperature),
            top_p=float(request.top_p),
            stop=request.stop,
            seed=request.seed,
            history=False,
            watch=watch,
            turns=list(request.turns[:-1]),
            memory=last[1] if last is not None and last[0] is shown else Memory(),
        )
        try:
            answer = session.ask(request.turns[-1].text, emit)
        except ValueError as error:
            # a prompt that does not fit; its words are about sizes only
            message = str(error).removeprefix("example question: ")
            raise ApiError(400, message, code="context_length_exceeded", param="messages") from error
        except OutOfMemoryError as error:
            raise ApiError(503, "the device has too little memory for this request", code="out_of_memory") from error
        if shown.key:
            seen = session.memory
            self._last = (shown, Memory(prepared=seen.prepared, features_NPE=seen.features_NPE))
        return answer
