"""anyres-serve's application over httpx: answers, streams, usage, and errors in OpenAI's shape."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from served import QUESTION, data_url, image_part, make_service, png, shown

from models.example import Example, Turn
from models.serve.openai.app import Service
from models.serve.openai.guard import Guard
from models.serve.openai.limits import Limits

Post = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def service(tiny_spec: Callable, tiny_tokenizer: Callable, tiny_llm: dict) -> Iterator[Service]:
    limits = Limits(body_mib=1, at_once=3, pixels=200_000, decoded_mib=8, read_s=1, decode_s=5, answer_s=20, media=4)
    made = make_service(tiny_spec(), tiny_llm, tiny_tokenizer(), limits)
    yield made
    made.engine.close()
    made.decoder.close()


@pytest.fixture
def post(service: Service) -> Post:
    def call(
        messages: Any = None, *, raw: bytes | None = None, headers: dict | None = None, **more: Any
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with client(service) as http:
                body = raw if raw is not None else json.dumps({"model": "tiny", "messages": messages, **more}).encode()
                told = {"content-type": "application/json", **(headers or {})}
                return await http.post("/v1/chat/completions", content=body, headers=told)

        return asyncio.run(ask())

    return call


def client(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=service.app()), base_url="http://127.0.0.1", timeout=30)


def direct(service: Service, media: tuple, text: str, max_new_tokens: int = 12) -> str:
    """Return what the model answers without any server."""
    example = Example(id="x", media=media, turns=(Turn(role="user", text=text),))
    processor, model = service.engine.processor, service.engine.model
    ids_BL = model.generate(processor.batch([example]), max_new_tokens, stop_ids=processor.stop_ids)
    return processor.decode(ids_BL[0])


def test_an_image_is_answered_as_without_a_server(service: Service, post: Post, tiny_image: Callable) -> None:
    image = tiny_image(90, 60)
    reply = post(shown(image_part(png(image)))).json()
    expected = direct(service, (image,), f"<image>\n{QUESTION}")
    assert expected and reply["choices"][0]["message"]["content"] == expected
    assert (reply["object"], reply["model"]) == ("chat.completion", "tiny")
    visual = service.engine.processor.plan(image).num_tokens
    details = reply["usage"]["prompt_tokens_details"]
    assert details["visual_tokens"] == visual
    assert reply["usage"]["prompt_tokens"] == visual + details["text_tokens"]
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]


def test_two_images_stand_where_they_are_put(service: Service, post: Post, tiny_image: Callable) -> None:
    first, second = tiny_image(90, 60, 1), tiny_image(60, 90, 2)
    content = [
        {"type": "text", "text": "a"}, image_part(png(first)), {"type": "text", "text": "b"}, image_part(png(second)),
    ]  # fmt: skip
    reply = post([{"role": "user", "content": content}]).json()
    assert reply["choices"][0]["message"]["content"] == direct(service, (first, second), "a\n<image>\nb\n<image>")


def test_text_alone_and_a_conversation(service: Service, post: Post, tiny_image: Callable) -> None:
    assert post([{"role": "user", "content": "hello"}]).json()["choices"][0]["message"]["content"] == direct(
        service, (), "hello"
    )
    image = tiny_image(90, 60)
    turns = [
        *shown(image_part(png(image))),
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": "sure?"},
    ]
    reply = post(turns).json()
    example = Example(
        id="x",
        media=(image,),
        turns=(
            Turn(role="user", text=f"<image>\n{QUESTION}"),
            Turn(role="assistant", text="a cat"),
            Turn(role="user", text="sure?"),
        ),
    )
    processor = service.engine.processor
    ids_BL = service.engine.model.generate(processor.batch([example]), 12, stop_ids=processor.stop_ids)
    assert reply["choices"][0]["message"]["content"] == processor.decode(ids_BL[0])


def test_listed_frames_are_a_clip(service: Service, post: Post, tiny_clip: Callable) -> None:
    clip = tiny_clip(3, 48, 48)
    frames = [png(Image.fromarray(frame)) for frame in clip.frames_FHWC]
    reply = post(shown({"type": "video", "video": frames, "fps": 1.0})).json()
    assert reply["choices"][0]["message"]["content"] == direct(service, (clip,), f"<image>\n{QUESTION}")


def test_a_video_file_is_sampled_by_the_models_settings(service: Service, post: Post, tmp_path: Path) -> None:
    import av

    from video.reader import load_clip

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 48
        for number in range(12):
            picture = np.full((48, 48, 3), number * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    part = {"type": "video_url", "video_url": {"url": data_url(path.read_bytes(), "video/mp4")}}
    reply = post(shown(part)).json()
    clip = load_clip(path, service.engine.processor.spec.video, "pyav")
    assert reply["choices"][0]["message"]["content"] == direct(service, (clip,), f"<image>\n{QUESTION}")


def test_a_stream_adds_up_to_the_answer(service: Service, post: Post, tiny_image: Callable) -> None:
    messages = shown(image_part(png(tiny_image(90, 60))))
    whole = post(messages).json()
    lines = post(messages, stream=True, stream_options={"include_usage": True}).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    # one byte a token: nearly every token is a piece of its own
    assert len([piece for piece in pieces if piece]) > 3
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert chunks[-1] == {**chunks[-1], "choices": [], "usage": whole["usage"]}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_length_stop_and_seed(post: Post) -> None:
    messages = [{"role": "user", "content": "tell me"}]
    long = post(messages, max_tokens=20).json()
    assert (long["choices"][0]["finish_reason"], long["usage"]["completion_tokens"]) == ("length", 20)
    text = long["choices"][0]["message"]["content"]
    middle = text[len(text) // 2]
    short = post(messages, max_completion_tokens=20, stop=[middle]).json()["choices"][0]
    assert short["message"]["content"] == text[: text.index(middle)].strip()
    drawn = [
        post(messages, temperature=1.5, top_p=0.9, seed=seed).json()["choices"][0]["message"] for seed in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_media_seen_last_are_not_encoded_again(service: Service, post: Post, tiny_image: Callable) -> None:
    url = png(tiny_image(100, 70, 5))
    first = post(shown(image_part(url), text="one")).json()
    calls: list[int] = []
    hook = service.engine.model.encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        second = post(shown(image_part(url), text="two")).json()
        again = post(shown(image_part(url), text="one")).json()
        assert calls == []
        post(shown(image_part(png(tiny_image(100, 70, 6))), text="one"))
        assert calls
    finally:
        hook.remove()
    assert again["choices"] == first["choices"] != second["choices"]


def test_models_health_and_paths(service: Service) -> None:
    async def get(path: str) -> httpx.Response:
        async with client(service) as http:
            return await http.get(path)

    listed = asyncio.run(get("/v1/models")).json()
    assert [one["id"] for one in listed["data"]] == ["tiny"]
    assert asyncio.run(get("/v1/models/tiny")).json()["object"] == "model"
    assert asyncio.run(get("/health")).json() == {"status": "ok", "busy": 0}
    for path, status in [("/v1/models/other", 404), ("/nothing", 404), ("/v1/chat/completions", 405)]:
        found = asyncio.run(get(path))
        assert found.status_code == status and set(found.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 601}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": 3}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"nonsense": 1}, "nonsense"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": "see <image>"}]}, "messages[0].content"),
    ],
)
def test_what_is_not_understood_is_named(post: Post, changes: dict, param: str) -> None:
    given = {"messages": [{"role": "user", "content": "hi"}], **changes}
    found = post(**given)
    assert found.status_code == 400
    assert found.json()["error"]["type"] == "invalid_request_error"
    assert found.json()["error"]["param"] == param


def test_statuses(service: Service, post: Post) -> None:
    hello = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "tiny", "messages": hello}).encode()
    cases = {
        404: post(raw=body.replace(b"tiny", b"huge")),
        400: post(raw=b"{"),
        413: post(raw=b" " * ((1 << 20) + 1)),
        415: post(raw=body, headers={"content-type": "text/plain"}),
        403: post(raw=body, headers={"host": "evil.example:80"}),
    }
    assert {status: found.status_code for status, found in cases.items()} == {status: status for status in cases}
    too_long = post([{"role": "user", "content": "word " * 400}])
    assert (too_long.status_code, too_long.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert post([{"role": "user", "content": "close </s> it"}]).status_code == 400
    assert service.busy == 0 and post(hello).status_code == 200


def test_system_messages_are_refused_or_put_in_front(service: Service, post: Post) -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert post(messages).json()["error"]["code"] == "unsupported_system"
    service.system = "prefix"
    try:
        assert post(messages).json()["choices"][0]["message"]["content"] == direct(service, (), "be brief\n\nhi")
    finally:
        service.system = "refuse"


def test_a_key_is_asked_for(service: Service, post: Post) -> None:
    hello = [{"role": "user", "content": "hi"}]
    guard = service.guard
    service.guard = Guard(limits=guard.limits, key="secret")
    try:
        assert post(hello).status_code == 401
        assert post(hello, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert post(hello, headers={"authorization": "Bearer secret"}).status_code == 200
    finally:
        service.guard = guard


def test_an_answer_that_takes_too_long_ends(service: Service, post: Post) -> None:
    hello = [{"role": "user", "content": "hi"}]
    guard = service.guard
    service.guard = Guard(limits=Limits(answer_s=0.05))
    try:
        found = post(hello, max_tokens=600)
        assert (found.status_code, found.json()["error"]["code"]) == (504, "timeout")
        streamed = post(hello, max_tokens=600, stream=True).text
        assert '"code": "timeout"' in streamed and "[DONE]" not in streamed
    finally:
        service.guard = guard
    # the model's thread is free again
    assert service.busy == 0 and post(hello).status_code == 200


def test_one_too_many_is_told_to_come_back(service: Service) -> None:
    async def together() -> list[httpx.Response]:
        async with client(service) as http:
            body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 60}
            return await asyncio.gather(*(http.post("/v1/chat/completions", json=body) for _ in range(8)))

    found = asyncio.run(together())
    assert sorted(one.status_code for one in found) == [200] * 3 + [429] * 5
    refused = next(one for one in found if one.status_code == 429)
    assert refused.headers["retry-after"] == "1" and refused.json()["error"]["type"] == "rate_limit_error"
    answers = {one.json()["choices"][0]["message"]["content"] for one in found if one.status_code == 200}
    assert len(answers) == 1 and service.busy == 0


def test_requests_as_vlmevalkit_sends_them(service: Service, post: Post, tiny_image: Callable) -> None:
    """Its GPT4V and LMDeployAPI clients: JPEG data URLs, n and a bearer key always, detail from the first of them."""
    buffer = io.BytesIO()
    tiny_image(90, 60).save(buffer, "JPEG")
    url = data_url(buffer.getvalue(), "image/jpeg")
    text = {"type": "text", "text": QUESTION}
    answers = []
    for picture in ({"url": url, "detail": "low"}, {"url": url}):
        content = [{"type": "image_url", "image_url": picture}, text]
        found = post(
            [{"role": "user", "content": content}],
            n=1,
            temperature=0,
            max_tokens=512,
            stop=["\n"],
            headers={"authorization": "Bearer sk-none"},
        )
        assert found.status_code == 200
        answers.append(found.json()["choices"][0]["message"]["content"].strip())
    image = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    expected = direct(service, (image,), f"<image>\n{QUESTION}", 512).split("\n")[0]
    assert answers == [expected, expected]
