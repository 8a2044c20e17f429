"""anyres-serve on a real loopback socket: hostile requests get a 4xx, learn nothing, and the next one is answered."""

import asyncio
import base64
import http.client
import io
import json
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image
from served import data_url, image_part, make_service, png, shown

from models.serve.openai.app import Service
from models.serve.openai.decoder import Decoder
from models.serve.openai.errors import ApiError
from models.serve.openai.limits import Limits
from models.serve.openai.parts import Upload
from video.clip import VideoSpec

MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A declared folder with a picture, beside a secret one that links lead to."""
    root = tmp_path_factory.mktemp("root")
    (root / "shown").mkdir()
    (root / "shown-not").mkdir()
    for name in ("shown/page.png", "secret.png", "shown-not/page.png"):
        Image.new("RGB", (60, 40), "green").save(root / name)
    (root / "shown" / "link.png").symlink_to(root / "secret.png")
    (root / "shown" / "up").symlink_to(root)
    return root / "shown"


@pytest.fixture(scope="module")
def service(tiny_spec: Callable, tiny_tokenizer: Callable, tiny_llm: dict, folder: Path) -> Iterator[Service]:
    limits = Limits(body_mib=50, at_once=4, pixels=1_000_000, decoded_mib=8, read_s=1, decode_s=3, answer_s=20, media=8)
    yield make_service(tiny_spec(), tiny_llm, tiny_tokenizer(), limits, folder)


@pytest.fixture(scope="module")
def port(service: Service) -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(service.app(), log_level="error", access_log=False, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        # the shutdown ended the model's thread and removed every file
        assert service.engine._closed.is_set() and not service.decoder._root.exists()


def ask(port: int, part: dict[str, Any] | None = None, text: str = "hi", timeout: float = 30) -> httpx.Response:
    body = {"model": "tiny", "messages": shown(part, text=text) if part else [{"role": "user", "content": text}]}
    return httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json={**body, "max_tokens": 4}, timeout=timeout)


def header_of_png(width: int, height: int) -> bytes:
    """Return a PNG that says it is huge and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * (4 * MIB))
    return buffer.getvalue()


def picture(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(buffer, kind, **options)
    return buffer.getvalue()


def animation(frames: int) -> bytes:
    buffer = io.BytesIO()
    pictures = [Image.new("P", (2000, 2000), number % 250) for number in range(frames)]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


URLS = [
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1/a.png",
    "http://localhost:22/",
    "http://2130706433/a.png",
    "http://0x7f000001/a.png",
    "http://0177.0.0.1/a.png",
    "http://[::ffff:127.0.0.1]/a.png",
    "http://[::1]/a.png",
    "http://user@127.0.0.1/a.png",
    "http://example.com@169.254.169.254/a.png",
    "http://10.0.0.1/a.png",
    "https://rebind.example/a.png",
    "HTTPS://EXAMPLE.COM/a.png",
    "ftp://example.com/a.png",
    "gopher://127.0.0.1:70/1",
    "smb://127.0.0.1/share/a.png",
    "concat:/etc/passwd|/etc/hostname",
    "subfile,,start,0,end,9,,:/etc/passwd",
    "pipe:0",
    "fd:0",
    "javascript:alert(1)",
    "/etc/passwd",
    "../../etc/passwd",
    "",
]
PATHS = [
    "file:///etc/passwd",
    "file:///dev/zero",
    "file:///proc/self/environ",
    "file://localhost/etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "file:etc/passwd",
    "file://FOLDER/../secret.png",
    "file://FOLDER/..%2fsecret.png",
    "file://FOLDER/%2e%2e/secret.png",
    "file://FOLDER/%252e%252e/secret.png",
    "file://FOLDER/..%5csecret.png",
    "file://FOLDER/link.png",
    "file://FOLDER/up/secret.png",
    "file://FOLDER-not/page.png",
    "file://FOLDER/page.png%00.jpg",
    "file://FOLDER/",
    "file://FOLDER/none.png",
    "file://FOLDER/" + "a" * 5000,
    "file:///" + "../" * 50 + "etc/passwd",
]
IMAGES = {
    "html": b"<html><script>alert(1)</script></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n",
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n",
    "empty image": b"\x89PNG\r\n\x1a\n",
    "huge header": header_of_png(100_000, 100_000),
    "just above the limit": header_of_png(1001, 1000),
    "cut short": picture("PNG")[:-30],
    "zip": zipped(),
    "large animation": animation(2),
    "script": b"#!/bin/sh\ntouch /tmp/owned\n",
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "numbers": bytes(range(256)) * 40,
}
CLIPS = {
    "playlist": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat list": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "dash": b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>",
    "text": b"hello " * 1000,
    "mp4 without anything": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
}
DATA = [
    "data:image/png,hello",
    "data:image/png;base64,***",
    "data:image/png;base64,",
    "data:;base64,aGVsbG8=",
    "data:image/png;base64,aGVsbG8",
    "data:image/png;base64,aGVs bG8=",
    "data:../../x;base64,aGVsbG8=",
    "data:text/html;charset=utf-8;base64," + base64.b64encode(b"<script>").decode(),
]


def hostile() -> list[tuple[str, dict[str, Any]]]:
    cases = [(url, image_part(url)) for url in [*URLS, *PATHS, *DATA]]
    cases += [(name, image_part(data_url(content))) for name, content in IMAGES.items()]
    clips = {**CLIPS, "html": IMAGES["html"], "a picture": b"GIF89a"}
    cases += [
        (name, {"type": "video_url", "video_url": {"url": data_url(clip, "video/mp4")}}) for name, clip in clips.items()
    ]
    sizes = [png(Image.new("RGB", size)) for size in ((30, 30), (31, 30))]
    return [
        *cases,
        ("frames of two sizes", {"type": "video", "video": sizes}),
        ("too many frames", {"type": "video", "video": sizes[:1] * 9}),
        ("frames per second", {"type": "video", "video": sizes[:1], "fps": -1}),
        ("a file name", {"type": "input_file", "file_name": "../../<script>.png"}),
    ]


def test_at_least_sixty_hostile_requests_and_none_succeeds(port: int, folder: Path) -> None:
    cases = hostile()
    assert len(cases) >= 60
    parts = [json.loads(json.dumps(part).replace("FOLDER", str(folder))) for _, part in cases]
    with ThreadPoolExecutor(3) as clients:
        replies = list(clients.map(lambda part: ask(port, part), parts))
    for (name, _), found in zip(cases, replies, strict=True):
        assert 400 <= found.status_code < 500 and found.status_code != 429, (name, found.status_code, found.text)
        error = found.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, name
        # no path, no name of a file, nothing of the content, nothing of Python
        said = error["message"].replace("data:image/png", "").replace("data:TYPE", "")
        for told in ("/", "\\", "root:", "script", "Traceback", "secret", "Error"):
            assert told not in said, (name, error)
    assert ask(port, image_part(f"file://{folder}/page.png")).status_code == 200
    started = time.perf_counter()
    assert ask(port, image_part(png(Image.new("RGB", (60, 40))))).status_code == 200
    assert time.perf_counter() - started < 1


def test_a_body_over_the_limit_is_refused_before_it_is_read(port: int) -> None:
    for told in (50 * MIB + 1, 1 << 30):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(told))
        connection.endheaders()
        # nothing of the body was sent
        reply = connection.getresponse()
        assert (reply.status, json.loads(reply.read())["error"]["code"]) == (413, "request_too_large")
        connection.close()


def test_a_body_of_unknown_length_is_cut_off(port: int) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 * MIB:
            sent += MIB
            yield b" " * MIB

    headers = {"content-type": "application/json"}
    try:
        reply = httpx.post(
            f"http://127.0.0.1:{port}/v1/chat/completions", content=endless(), headers=headers, timeout=20
        )
        assert reply.status_code == 413
    except httpx.WriteError:
        # the server closed the connection while we still sent
        pass
    assert sent < 100 * MIB
    assert ask(port).status_code == 200


def test_slow_senders_are_dropped_and_hold_nobody_up(port: int, service: Service) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    for one in slow:
        one.sendall(head + b"content-length: 1000\r\n\r\n{")
    deadline = time.monotonic() + 2
    while service.busy < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.perf_counter()
    assert ask(port).status_code == 200
    assert time.perf_counter() - started < 1
    for one in slow:
        one.settimeout(5)
        assert one.recv(100).startswith(b"HTTP/1.1 408")
        one.close()
    assert service.busy == 0


def test_a_hundred_at_once(port: int, service: Service) -> None:
    async def together() -> list[int]:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=100)) as http:
            replies = await asyncio.gather(
                *(http.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body) for _ in range(100))
            )
        return [reply.status_code for reply in replies]

    found = asyncio.run(together())
    assert set(found) == {200, 429} and found.count(200) >= 4
    assert service.busy == 0
    started = time.perf_counter()
    assert ask(port).status_code == 200
    assert time.perf_counter() - started < 1


def test_a_client_that_leaves_frees_its_place_and_the_model(port: int, service: Service) -> None:
    body = json.dumps(
        {"model": "tiny", "messages": [{"role": "user", "content": "go"}], "max_tokens": 600, "stream": True}
    )
    with socket.create_connection(("127.0.0.1", port)) as leaving:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
        leaving.sendall(f"{head}content-type: application/json\r\n\r\n{body}".encode())
        assert leaving.recv(20).startswith(b"HTTP/1.1 200")
        assert service.busy == 1
    deadline = time.monotonic() + 2
    while service.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.busy == 0
    started = time.perf_counter()
    assert ask(port).status_code == 200
    assert time.perf_counter() - started < 1


def test_nothing_is_left_on_the_disk(port: int, service: Service) -> None:
    ask(port, image_part(png(Image.new("RGB", (60, 40)))))
    # only the folder of the process that waits for the next request, and it is empty
    left = [path for path in service.decoder._root.rglob("*") if path.is_file()]
    assert left == [] and len(list(service.decoder._root.iterdir())) == 1
    assert service.decoder._root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("limits", "content"),
    [
        # less than the libraries need: no process comes
        (Limits(decode_mib=64), picture("PNG")),
        (Limits(decoded_mib=1), png(Image.new("RGB", (800, 800)))),
        (Limits(pixels=100), png(Image.new("RGB", (11, 10)))),
    ],
    ids=["memory", "decoded", "pixels"],
)
def test_decoding_within_its_bounds(limits: Limits, content: bytes | str) -> None:
    url = content if isinstance(content, str) else data_url(content)
    decoder = Decoder(limits, VideoSpec())
    upload = Upload(kind="image", urls=(url,), where="messages[0]")
    try:
        with pytest.raises((ApiError, OSError)) as refused:
            decoder.open([upload], decoder.contents([upload]))
        assert not isinstance(refused.value, ApiError) or refused.value.status == 400
    finally:
        decoder.close()
