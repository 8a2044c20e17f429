"""What a request must pass before its body is looked at, and the reading of the body within its limits."""

import asyncio
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from models.serve.openai.errors import ApiError
from models.serve.openai.limits import Limits

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """hosts: names that a request may be sent to, empty for any: a web page that points its own name at this machine
    is none of them. key: what a client must show, or None.
    """

    limits: Limits
    hosts: Collection[str] = LOOPBACK
    key: str | None = None

    def check(self, request: Request) -> None:
        """Raise ApiError for a request to another host, or without the key."""
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        if self.hosts and name.lower() not in self.hosts:
            raise ApiError(403, "this server does not answer for that host name", code="wrong_host")
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.key is not None and not hmac.compare_digest(shown.encode(), self.key.encode()):
            raise ApiError(401, "wrong or missing API key", code="invalid_api_key")

    async def body(self, request: Request) -> bytes:
        """Return a JSON body; no more than the limit is ever read, nor for longer."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        # a page in a browser may not send this type elsewhere without asking
        if kind != "application/json":
            raise ApiError(415, "expected a body of type application/json")
        most = self.limits.body_bytes
        told = request.headers.get("content-length", "0")
        if not told.isdecimal() or int(told) > most:
            raise _too_large(most)
        try:
            return await asyncio.wait_for(_read(request, most), self.limits.read_s)
        except asyncio.TimeoutError as error:
            raise ApiError(408, "the body took too long to arrive", code="timeout") from error
        except ClientDisconnect as error:
            raise ApiError(400, "the body is cut short") from error


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the request is larger than {most} bytes", code="request_too_large")
