"""A tiny model behind OpenAI's interface, and the messages that clients send it."""

import base64
import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer

from models.build import build_model
from models.processor import Processor
from models.serve.ask import Look
from models.serve.openai.app import Service
from models.serve.openai.decoder import Decoder
from models.serve.openai.engine import Engine
from models.serve.openai.guard import Guard
from models.serve.openai.limits import Limits
from models.spec import ModelSpec

QUESTION = "what is it?"


def make_service(
    spec: ModelSpec, llm: dict[str, Any], tokenizer: Tokenizer, limits: Limits, folder: Path | None = None
) -> Service:
    """Return a service named "tiny" with random weights; its engine and its decoder are the caller's to close."""
    torch.manual_seed(0)
    model, processor = build_model(spec, llm).eval(), Processor(spec, tokenizer)
    engine = Engine(model, processor, look=Look(), max_tokens=12, most_tokens=600)
    decoder = Decoder(limits, spec.video, folder)
    return Service(name="tiny", engine=engine, decoder=decoder, guard=Guard(limits=limits))


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return data_url(buffer.getvalue())


def shown(*parts: dict[str, Any], text: str = QUESTION) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}
