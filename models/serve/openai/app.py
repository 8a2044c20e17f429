"""The web application: /v1/chat/completions, /v1/models and /health, in the shapes of OpenAI's interface."""

import asyncio
import contextlib
import hashlib
import json
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from models.serve.ask import Answer
from models.serve.openai.answering import Answering
from models.serve.openai.decoder import Decoder
from models.serve.openai.engine import Engine, Shown
from models.serve.openai.errors import ApiError
from models.serve.openai.guard import Guard
from models.serve.openai.parts import Upload
from models.serve.openai.replies import DONE, Reply, event, finish
from models.serve.openai.request import ChatRequest, read_request

# seconds between looks whether a client that waits is still there
_LOOK_S = 0.25


@dataclass(slots=True, kw_only=True, eq=False)
class Service:
    """A model behind the interface. name: what clients call it. temperature: where a request gives none.

    system: "refuse" system messages, or "prefix" the first user text with them. busy: requests that are being served.
    """

    name: str
    engine: Engine
    decoder: Decoder
    guard: Guard
    temperature: float = 0.0
    system: Literal["refuse", "prefix"] = "refuse"
    created: int = 0
    busy: int = 0

    def app(self) -> Starlette:
        """Return the application; when it shuts down, the model's thread and the decoding process end."""
        routes = [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{name}", self.model, methods=["GET"]),
            Route("/health", self.health, methods=["GET"]),
        ]
        handlers = {ApiError: _told, HTTPException: _http, Exception: _failed}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)  # type: ignore[arg-type]

    async def health(self, request: Request) -> Response:
        """Tell that the server is up."""
        self.guard.check(request)
        return JSONResponse({"status": "ok", "busy": self.busy})

    async def models(self, request: Request) -> Response:
        """List the one model."""
        self.guard.check(request)
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def model(self, request: Request) -> Response:
        """Describe a model by name."""
        self.guard.check(request)
        self._check_name(request.path_params["name"])
        return JSONResponse(self._described())

    async def chat(self, request: Request) -> Response:
        """Answer a conversation, whole or as a stream. Holds one of the server's places from here to its end."""
        self.guard.check(request)
        if self.busy >= self.guard.limits.at_once:
            raise ApiError(429, "the server is busy; try again later", code="too_many_requests")
        self.busy += 1
        held = True
        try:
            asked = read_request(await self.guard.body(request), temperature=self.temperature, system=self.system)
            self._check_name(asked.model)
            self.engine.check(asked)
            shown = await self._shown(asked.uploads)
            # what was uploaded is decoded: the text of the request goes on without it
            asked = replace(asked, uploads=())
            answering = Answering(self.engine, asked, shown, self.guard.limits.answer_s)
            if not asked.stream:
                return JSONResponse(Reply(model=self.name).whole(await _whole(answering, request)))
            events = answering.events()
            # a prompt that cannot be answered is a status, not an event
            first = await _unless_gone(anext(events), answering, request)
            held = False
            return Stream(self, asked, answering, first, events)
        finally:
            self.busy -= held

    async def _shown(self, uploads: Sequence[Upload]) -> Shown:
        if not uploads:
            return Shown(key="", media=())
        contents = await asyncio.to_thread(self.decoder.contents, uploads)
        key = await asyncio.to_thread(_key, uploads, contents)
        known = self.engine.known(key)
        if known is not None:
            return known
        return Shown(key=key, media=await asyncio.to_thread(self.decoder.open, uploads, contents))

    def _check_name(self, name: str) -> None:
        if name != self.name:
            raise ApiError(404, f"no such model; this server has {self.name}", code="model_not_found", param="model")

    def _described(self) -> dict[str, Any]:
        spec = self.engine.processor.spec
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "anyres",
            "max_model_len": spec.context,
        }

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(self.engine.close)
            self.decoder.close()


class Stream(Response):
    """A stream of chunks; it gives the request's place back when it ends, however it does."""

    def __init__(
        self,
        service: Service,
        asked: ChatRequest,
        answering: Answering,
        first: str | Answer,
        events: AsyncIterator[str | Answer],
    ) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        # the length of a stream is not known
        del self.headers["content-length"]
        self.service, self.asked, self.answering = service, asked, answering
        self.first, self.events = first, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks as they come; stop the model when the client is gone."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self.answering.cancel()
            sending.cancel()
            leaving.cancel()
            self.service.busy -= 1

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for chunk in self._chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self) -> AsyncIterator[bytes]:
        reply = Reply(model=self.service.name)
        yield reply.piece({"role": "assistant", "content": ""})
        found: str | Answer = self.first
        try:
            while isinstance(found, str):
                yield reply.piece({"content": found})
                found = await anext(self.events)
        except ApiError as error:
            # the status is long sent
            yield event(error.body)
            return
        yield reply.piece({}, finish(found))
        if self.asked.usage_chunk:
            yield reply.usage_piece(found)
        yield DONE


async def _whole(answering: Answering, request: Request) -> Answer:
    """Return the answer of a request that waits for all of it."""
    events = answering.events()
    while True:
        found = await _unless_gone(anext(events), answering, request)
        if isinstance(found, Answer):
            return found


async def _unless_gone(coming: Any, answering: Answering, request: Request) -> "str | Answer":
    """Return what comes next; when the client leaves, or this is cancelled, the model stops."""
    task = asyncio.ensure_future(coming)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
            if await request.is_disconnected():
                raise ApiError(400, "the client is gone")
        return task.result()
    except BaseException:
        answering.cancel()
        task.cancel()
        raise


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _key(uploads: Sequence[Upload], contents: Sequence[Sequence[bytes]]) -> str:
    """Return a digest of what was uploaded, and as what."""
    digest = hashlib.sha256()
    for upload, files in zip(uploads, contents, strict=True):
        digests = [hashlib.sha256(data).hexdigest() for data in files]
        digest.update(json.dumps([upload.kind, upload.fps, digests]).encode())
    return digest.hexdigest()


async def _told(request: Request, error: ApiError) -> Response:
    headers = {"retry-after": "1"} if error.status == 429 else {}
    # what was not read of a body would be taken for the next request
    closing = {"connection": "close"} if error.status in (408, 413, 415, 429) else {}
    return JSONResponse(error.body, status_code=error.status, headers={**headers, **closing})


async def _http(request: Request, error: HTTPException) -> Response:
    words = {404: "no such path", 405: "this path does not take that method"}
    return JSONResponse(
        ApiError(error.status_code, words.get(error.status_code, "bad request")).body, error.status_code
    )


async def _failed(request: Request, error: Exception) -> Response:
    traceback.print_exception(error, file=sys.stderr)
    return JSONResponse(ApiError(500, "the server failed on this request", code="internal_error").body, 500)
