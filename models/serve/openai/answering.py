"""Follow one answer from the model's thread in the server's loop: its pieces, its end, its time limit."""

import asyncio
import sys
import time
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future
from threading import Event

from models.serve.ask import Answer
from models.serve.openai.engine import Cancelled, Engine, Shown
from models.serve.openai.errors import ApiError
from models.serve.openai.request import ChatRequest


class Answering:
    """An answer on its way. Cancel it when nobody waits any more: the model stops at its next token."""

    def __init__(self, engine: Engine, request: ChatRequest, shown: Shown, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[str | Answer | ApiError] = asyncio.Queue()
        self._cancelled = Event()
        self._deadline = time.monotonic() + seconds
        future = engine.submit(request, shown, self._put, self._cancelled)
        future.add_done_callback(self._done)

    async def events(self) -> AsyncIterator[str | Answer]:
        """Yield the pieces of the answer, then the answer. Raises ApiError for what went wrong, or took too long."""
        while True:
            left = self._deadline - time.monotonic()
            try:
                event = await asyncio.wait_for(self._events.get(), max(left, 0))
            except asyncio.TimeoutError as error:
                self.cancel()
                raise ApiError(504, "the answer took too long", code="timeout") from error
            if isinstance(event, ApiError):
                raise event
            yield event
            if isinstance(event, Answer):
                return

    def cancel(self) -> None:
        """Let the model stop."""
        self._cancelled.set()

    def _put(self, event: "str | Answer | ApiError") -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def _done(self, future: "Future[Answer]") -> None:
        try:
            self._put(future.result())
        except ApiError as error:
            self._put(error)
        except (Cancelled, CancelledError):
            self._put(ApiError(503, "the server is shutting down", code="shutting_down"))
        except Exception:
            # told to whoever runs the server, in full; the client learns nothing of its insides
            traceback.print_exc(file=sys.stderr)
            self._put(ApiError(500, "the server failed on this request", code="internal_error"))
