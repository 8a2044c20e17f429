"""A chat endpoint on the loopback that answers as a test tells it."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handle = Callable[[dict[str, object], int], tuple[int, bytes, dict[str, str]]]


def said(text: object, **more: object) -> tuple[int, bytes, dict[str, str]]:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    body = {
        "model": "m-2026",
        "system_fingerprint": "fp1",
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3},
    }
    return 200, json.dumps(body).encode(), {}


class Server:
    """Answers each request by `handle(body, number)`; keeps bodies, headers, and how many were under way at most."""

    def __init__(self) -> None:
        self.handle: Handle = lambda body, number: said("hi")
        self.bodies: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.now = self.most = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.bodies.append(body)
                    outer.headers.append(dict(self.headers))
                    number = len(outer.bodies)
                    outer.now += 1
                    outer.most = max(outer.most, outer.now)
                try:
                    status, data, headers = outer.handle(body, number)
                finally:
                    with outer.lock:
                        outer.now -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
